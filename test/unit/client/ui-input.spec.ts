/*
 * The messages of an AI SDK chat as input of a request, and a message as the chunks that show it
 * again.
 */

import { describe, expect, it } from '@jest/globals';
import { type UIMessage } from 'ai';
import { chunksOf, inputOf, newInputOf } from '../../../client/src/ui-input.js';

type Part = UIMessage['parts'][number];
const text = (said: string): Part => ({ type: 'text', text: said });
const STEP: Part = { type: 'step-start' };
const tool = (id: string, fields: object): Part =>
  // The cast: the fields of a part depend on its state.
  ({ type: 'tool-f', toolCallId: id, input: { a: 1 }, state: 'input-available', ...fields }) as Part;
const done = (id: string, output: unknown = 'ok'): Part => tool(id, { state: 'output-available', output });
const from = (role: UIMessage['role'], ...parts: Part[]): UIMessage => ({ id: role, role, parts });

const CALLED = from('assistant', STEP, text('Wait'), done('c1'), STEP, done('c2', { b: 2 }));

describe('a history', () => {
  it('holds every message, each output behind its call', () => {
    const said = inputOf([from('system', text('Be brief')), from('user', text('Hi')), CALLED]);
    expect(said).toMatchObject([
      { role: 'system', content: [{ type: 'input_text', text: 'Be brief' }] },
      { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      { role: 'assistant', content: [{ type: 'output_text', text: 'Wait' }] },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' },
      { type: 'function_call_output', call_id: 'c1', output: 'ok' },
      { type: 'function_call', call_id: 'c2' },
      { type: 'function_call_output', call_id: 'c2', output: '{"b":2}' },
    ]);
  });

  it('leaves out a call that was never answered, and marks failed and denied ones', () => {
    const failed = tool('c2', { state: 'output-error', errorText: 'no network' });
    const denied = tool('c3', { state: 'output-denied' });
    const outputs = inputOf([from('assistant', tool('c1', {}), failed, denied)]).flatMap(({ output }) => output ?? []);
    expect(outputs).toEqual(['no network', expect.stringContaining('denied')]);
  });

  it('sends a refusal back as a refusal, pictures and files as their parts', () => {
    const refused: Part = { type: 'text', text: 'No.', providerMetadata: { sluice: { refusal: true } } };
    const picture: Part = { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' };
    const file: Part = { type: 'file', mediaType: 'application/pdf', url: 'https://x/y.pdf', filename: 'y.pdf' };
    expect(inputOf([from('assistant', refused), from('user', picture, file)])).toMatchObject([
      { content: [{ type: 'refusal', refusal: 'No.' }] },
      {
        content: [
          { type: 'input_image', image_url: picture.url },
          { type: 'input_file', file_url: file.url, filename: 'y.pdf' },
        ],
      },
    ]);
  });
});

it('holds only what is new for a conversation: outputs of the last step, or the last messages of the user', () => {
  expect(newInputOf([from('user', text('Hi')), CALLED])).toMatchObject([{ call_id: 'c2', output: '{"b":2}' }]);
  const asked = newInputOf([from('user', text('Hi')), from('assistant', text('Hello')), from('user', text('And?'))]);
  expect(asked).toMatchObject([{ role: 'user', content: [{ text: 'And?' }] }]);
});

it('shows finished calls again without running them', () => {
  const types = chunksOf(CALLED).map(({ type }) => type);
  expect(types).not.toContain('tool-input-available');
  expect(types).toEqual([
    ...['start-step', 'text-start', 'text-delta', 'text-end'],
    ...['tool-input-start', 'tool-input-delta', 'tool-output-available'],
    ...['start-step', 'tool-input-start', 'tool-input-delta', 'tool-output-available'],
  ]);
});
