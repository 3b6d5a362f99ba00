/*
 * Texts of the page: connection, ends, errors, and the line of figures. Pure: knows no page and no
 * client.
 */

import { type ResponseObject, type SluiceErrorShape, type StateChange, type Transport } from '../src/api.js';

export interface Note {
  readonly kind: 'info' | 'bad';
  readonly words: string;
}

export function connectionWords({ state, error, retryInMs }: StateChange, transport: Transport = 'websocket'): string {
  switch (state) {
    case 'idle':
      return 'Not connected';
    case 'connecting':
      return 'Connecting …';
    case 'open':
      return transport === 'sse' ? 'Connected by HTTP (WebSockets are blocked here)' : 'Connected';
    case 'offline':
      return 'Offline: waiting for the network';
    case 'reconnecting':
      if (error?.status === 503) return 'The server is busy or restarting: trying again …';
      return retryInMs !== null && retryInMs >= 3_000
        ? `Connection lost: trying again in ${Math.round(retryInMs / 1000)} s`
        : 'Connection lost: reconnecting …';
    case 'closed':
      if (error === null) return 'Closed';
      if (isRevoked(error)) return 'The credential was revoked';
      return error.status === 401 ? 'A key is needed' : `Refused: ${error.message}`;
  }
}

/** Whether the gateway has ended a connection because its credential was revoked. */
export function isRevoked({ code, message }: SluiceErrorShape): boolean {
  return code === 'closed_1008' && message.includes('credential revoked');
}

const FAILURES: Readonly<Record<string, string>> = {
  rate_limit_exceeded: 'The model provider limits how much may be asked just now. Try again in a moment.',
  provider_timeout: 'The model provider took too long.',
  provider_unavailable: 'The model provider cannot be reached just now. Try again in a moment.',
  provider_stream_interrupted: 'The model provider broke off in the middle of the answer.',
  provider_refused: 'The model provider refused the request. The server’s log says why.',
  content_policy_violation: 'The model provider’s policy refused the request.',
  context_length_exceeded: 'The conversation is too long for the model. Start a new one.',
  replica_lost: 'The server that wrote this answer went away.',
};

/** Returns a note on how a response ended, or null if it is complete. */
export function endNote(response: ResponseObject): Note | null {
  switch (response.status) {
    case 'cancelled':
      return { kind: 'info', words: 'Stopped.' };
    case 'failed': {
      const words = FAILURES[response.error?.code ?? ''] ?? response.error?.message ?? 'The answer failed.';
      return { kind: 'bad', words: response.output_text === '' ? words : `${words} What had been written stays.` };
    }
    case 'incomplete':
      switch (response.incomplete_details?.reason) {
        case 'max_output_tokens':
          return { kind: 'info', words: 'The answer reached its greatest length.' };
        case 'content_filter':
          return { kind: 'info', words: `A guardrail ended this answer${rulesOf(response)}.` };
        case 'cancelled':
          return { kind: 'info', words: 'Stopped.' };
        default:
          return { kind: 'info', words: 'The answer is not complete.' };
      }
    default: {
      const refused = response.sluice.findings.some(({ stage, decision }) => stage === 'input' && decision === 'deny');
      return refused
        ? { kind: 'info', words: `A guardrail refused this message${rulesOf(response)}. The model was not asked.` }
        : null;
    }
  }
}

function rulesOf(response: ResponseObject): string {
  const rules = response.sluice.findings
    .filter(({ decision }) => decision === 'deny')
    .map(({ guardrail }) => guardrail.replaceAll('_', ' '));
  return rules.length === 0 ? '' : ` (${[...new Set(rules)].join(', ')})`;
}

/** Returns a note on why a response is missing or incomplete. `hasText`: some of it is shown. */
export function errorNote(error: SluiceErrorShape, hasText: boolean): Note {
  if (error.code === 'cancelled') return { kind: 'info', words: 'Stopped before it was sent.' };
  if (error.kind !== 'lost') return { kind: 'bad', words: error.message };
  const gone = error.code === 'response_not_found' || error.code === 'response_expired';
  const reason = gone
    ? 'The rest of this answer is lost: the server no longer knows it (most likely it was restarted, with its state in memory).'
    : `This answer can’t be followed any more: ${error.message}`;
  return { kind: 'bad', words: hasText ? `${reason} What had arrived stays.` : reason };
}

const DOLLARS = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', maximumSignificantDigits: 2 });

export function numbersLine(
  response: ResponseObject,
  firstDeltaMs: number | null,
  totalMs: number | null = null,
): string {
  const parts: string[] = [];
  if (response.usage !== null) {
    const about = response.sluice.usage_estimated ? 'about ' : '';
    const cost = response.sluice.cost_usd;
    parts.push(`${about}${response.usage.input_tokens} tokens in, ${response.usage.output_tokens} out`);
    parts.push(cost === null ? 'no price known' : DOLLARS.format(cost));
  }
  if (firstDeltaMs !== null) parts.push(`first words after ${durationWords(firstDeltaMs)}`);
  if (totalMs !== null) parts.push(`${durationWords(totalMs)} in all`);
  return parts.join(' · ');
}

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' });
const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** Returns roughly how long ago a time was. */
export function agoWords(thenMs: number, nowMs: number): string {
  const [unit, ms] = UNITS.find(([, length]) => nowMs - thenMs >= length) ?? ['minute', 60_000];
  const count = Math.round((nowMs - thenMs) / ms);
  return count === 0 ? 'just now' : RELATIVE.format(-count, unit);
}

/** Returns a function call or its output as one line of code. */
export function callWords(item: { type: string; name?: string; arguments?: string; output?: unknown }): string | null {
  if (item.type === 'function_call') return `${item.name ?? ''}(${item.arguments ?? ''})`;
  return item.type === 'function_call_output' ? `→ ${outputWords(item.output)}` : null;
}

/** Returns an output: its text, or its parts with a word for each image and file. */
function outputWords(output: unknown): string {
  if (!Array.isArray(output)) return typeof output === 'string' ? output : '';
  // Parts as the gateway has accepted them.
  const parts = output as readonly { readonly type: string; readonly text?: string }[];
  return parts.map(({ type, text }) => text ?? (type === 'input_image' ? '(image)' : '(file)')).join(' ');
}

function durationWords(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Returns the name of the answering model. */
export function modelWords(response: ResponseObject): string {
  const { provider } = response.sluice;
  if (provider === 'demo')
    return `Answered by ${response.model}, the built-in demo: it is scripted, no language model is behind it.`;
  return (provider ?? '') === '' ? '' : `Answered by ${response.model} (${provider}).`;
}
