import { describe, expect, it } from '@jest/globals';
import { type Item, type MessageItem, type Role } from '../../../../src/domain/item.js';
import { chatRequest, dialectOf, usualShape } from '../../../../src/provider/openai/chat-request.js';
import { providerRequest } from '../../../support/provider-request.js';

const message = (role: Role, ...content: MessageItem['content']): Item => ({
  type: 'message',
  id: 'm',
  role,
  status: 'completed',
  content,
});
const said = (role: Role, text: string): Item => message(role, { type: 'input_text', text });
const call = (n: number): Item => ({
  type: 'function_call',
  id: `fc${n}`,
  call_id: `c${n}`,
  name: `f${n}`,
  arguments: '{}',
  status: 'completed',
});
const output = (n: number): Item => ({
  type: 'function_call_output',
  id: `o${n}`,
  call_id: `c${n}`,
  output: `r${n}`,
  status: 'completed',
});
const toolCall = (n: number) => ({ id: `c${n}`, type: 'function', function: { name: `f${n}`, arguments: '{}' } });
const OWN = usualShape('openai');
const messages = (...items: Item[]) => chatRequest(providerRequest('', { items }), OWN).messages;

describe('chatRequest', () => {
  it('puts the system prompt first and maps every role', () => {
    const items = [said('developer', 'd'), said('system', 's'), said('user', 'u'), said('assistant', 'a')];
    expect(chatRequest(providerRequest('', { system: 'prompt', items }), OWN).messages).toEqual([
      { role: 'system', content: 'prompt' },
      { role: 'system', content: 'd' },
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
      { role: 'assistant', content: 'a' },
    ]);
  });

  it('sends refusals as assistant text, and omits an empty answer', () => {
    expect(
      messages(message('assistant', { type: 'refusal', refusal: 'no' }), said('assistant', ''), said('user', '')),
    ).toEqual([
      { role: 'assistant', content: 'no' },
      { role: 'user', content: '' },
    ]);
  });

  it('gathers calls on the assistant message that they belong to', () => {
    expect(
      messages(said('assistant', 'let me see'), call(1), call(2), output(1), output(2), call(3), output(3)),
    ).toEqual([
      { role: 'assistant', content: 'let me see', tool_calls: [toolCall(1), toolCall(2)] },
      { role: 'tool', tool_call_id: 'c1', content: 'r1' },
      { role: 'tool', tool_call_id: 'c2', content: 'r2' },
      { role: 'assistant', content: null, tool_calls: [toolCall(3)] },
      { role: 'tool', tool_call_id: 'c3', content: 'r3' },
    ]);
  });

  it('sends only fields that the request sets', () => {
    expect(chatRequest(providerRequest('Hi', { toolChoice: 'none', parallelToolCalls: false }), OWN)).toEqual({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('maps sampling, limits and the user to the names that the server knows', () => {
    const request = providerRequest('Hi', {
      temperature: 0,
      topP: 0.5,
      maxOutputTokens: 7,
      reasoningEffort: 'low',
      safetyIdentifier: 'u1',
    });
    const common = { temperature: 0, top_p: 0.5, reasoning_effort: 'low' };
    const own = chatRequest(request, OWN);
    expect(own).toMatchObject({ ...common, max_completion_tokens: 7, safety_identifier: 'u1' });
    expect(own).not.toHaveProperty('max_tokens');
    const compatible = chatRequest(request, usualShape('compatible'));
    expect(compatible).toMatchObject({ ...common, max_tokens: 7, user: 'u1' });
    expect(compatible).not.toHaveProperty('max_completion_tokens');
    expect(compatible).not.toHaveProperty('safety_identifier');
  });

  it('maps tools, their choice and formats', () => {
    const tool = {
      type: 'function',
      name: 'f',
      description: 'd',
      parameters: { type: 'object' },
      strict: true,
    } as const;
    const bare = { type: 'function', name: 'g', parameters: null, strict: null } as const;
    const schema = { type: 'object', properties: {} };
    const request = providerRequest('Hi', {
      tools: [tool, bare],
      toolChoice: { type: 'function', name: 'f' },
      parallelToolCalls: false,
      textFormat: { type: 'json_schema', name: 'n', schema, strict: true },
    });
    const sent = chatRequest(request, OWN);
    expect(sent.tools).toEqual([
      { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } },
      { type: 'function', function: { name: 'g' } },
    ]);
    expect(sent.tool_choice).toEqual({ type: 'function', function: { name: 'f' } });
    expect(sent.parallel_tool_calls).toBe(false);
    expect(sent.response_format).toEqual({ type: 'json_schema', json_schema: { name: 'n', schema, strict: true } });
    const json = chatRequest({ ...request, textFormat: { type: 'json_object' }, toolChoice: 'required' }, OWN);
    expect(json.response_format).toEqual({ type: 'json_object' });
    expect(json.tool_choice).toBe('required');
  });

  it('distinguishes OpenAI hosts from others', () => {
    expect(dialectOf(undefined)).toBe('openai');
    expect(dialectOf('https://api.openai.com/v1')).toBe('openai');
    expect(dialectOf('https://x.openai.azure.com/openai/v1')).toBe('openai');
    expect(dialectOf('https://api.openai.com.example.org/v1')).toBe('compatible');
    expect(dialectOf('http://127.0.0.1:8000/v1')).toBe('compatible');
    expect(dialectOf('nonsense')).toBe('compatible');
  });
});
