/* Requests for provider tests, and what a stream gave until its end. */

import { type MessageItem } from '../../src/domain/item.js';
import { type ProviderPart, type ProviderRequest } from '../../src/provider/provider.js';

export function userMessage(text: string, id = 'msg_1'): MessageItem {
  return { type: 'message', id, role: 'user', status: 'completed', content: [{ type: 'input_text', text }] };
}

export function providerRequest(text: string, overrides: Partial<ProviderRequest> = {}): ProviderRequest {
  return {
    model: 'gpt-4o',
    system: '',
    items: [userMessage(text)],
    temperature: null,
    topP: null,
    maxOutputTokens: null,
    tools: [],
    toolChoice: 'auto',
    parallelToolCalls: true,
    textFormat: { type: 'text' },
    reasoningEffort: null,
    safetyIdentifier: null,
    ...overrides,
  };
}

export interface Collected {
  readonly parts: ProviderPart[];
  /** What the stream threw; undefined where it ended by itself. */
  readonly error: unknown;
}

/** Reads a stream to its end and keeps what it threw beside the parts. */
export async function collect(
  stream: AsyncIterable<ProviderPart>,
  onPart?: (part: ProviderPart) => void,
): Promise<Collected> {
  const parts: ProviderPart[] = [];
  try {
    for await (const part of stream) {
      parts.push(part);
      onPart?.(part);
    }
    return { parts, error: undefined };
  } catch (error) {
    return { parts, error };
  }
}

export function textOf(parts: readonly ProviderPart[]): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

export function finishOf(parts: readonly ProviderPart[]): string | undefined {
  const last = parts.at(-1);
  return last?.type === 'finish' ? last.reason : undefined;
}
