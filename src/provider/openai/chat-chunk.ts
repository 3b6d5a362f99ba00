/*
 * Reads one chunk of a chat completions stream, or a whole completion, wherever a server puts its
 * fields. Knows nothing of earlier chunks.
 */

import { malformed } from './chat-errors.js';
import { type Usage } from '../../domain/response.js';

type Fields = Readonly<Record<string, unknown>>;

/** A piece of a tool call; absent fields are empty. */
export interface CallPiece {
  readonly index: number | undefined;
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  /** Data that the provider expects back with the call. */
  readonly extra: Fields | undefined;
}

/**
 * The content of one chunk. Fields that the chunk lacks are empty: no text, no calls, no finish
 * reason.
 */
export interface ChunkContent {
  /** The error in the chunk, as the server wrote it; undefined if there is none. */
  readonly error: unknown;
  /** Undefined if the chunk has no choice. */
  readonly choiceIndex: number | undefined;
  readonly reasoning: string;
  /** A summary that the server sends instead of the reasoning. */
  readonly summary: string;
  readonly text: string;
  /** Whether `text` is, or may be, the whole message so far. */
  readonly isMessage: boolean;
  readonly refusal: string;
  /** As the server wrote them; read only if they are wanted. */
  readonly logprobs: unknown;
  readonly calls: readonly CallPiece[];
  /** As the server wrote it; null if absent. */
  readonly finishReason: string | null;
  readonly usage: Usage | undefined;
}

/** @throws SluiceError if `data` is not a chunk, or has a field of an unknown shape */
export function parseChunk(data: string): ChunkContent {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw malformed('an event that is not JSON');
  }
  // Gemini wraps an error in a list.
  if (Array.isArray(value) && value.length === 1) value = (value as unknown[])[0];
  if (!isFields(value)) throw malformed('an event that is no object');
  const { choices } = value;
  if (choices !== undefined && choices !== null && !Array.isArray(choices)) throw malformed('choices that are no list');
  return read(value, (choices ?? []) as readonly unknown[]);
}

function read(chunk: Fields, choices: readonly unknown[]): ChunkContent {
  const choice = choiceOf(choices);
  const delta = isFields(choice?.['delta']) ? choice['delta'] : undefined;
  const message = isFields(choice?.['message']) ? choice['message'] : undefined;
  const added = delta ?? message ?? {};
  const content = readContent(added['content']);
  const summary = detailsOf(added, 'reasoning.summary', 'summary');
  const legacy = typeof choice?.['text'] === 'string' && content.text === '' ? choice['text'] : '';
  return {
    error: errorOf(chunk, choice, choices.length > 0),
    choiceIndex: choice === undefined ? undefined : (numberOf(choice['index']) ?? 0),
    reasoning: content.reasoning + (summary === '' ? reasoningOf(added) : detailsOf(added, 'reasoning.text', 'text')),
    summary,
    text: content.text + legacy,
    isMessage: delta === undefined && message !== undefined,
    refusal: content.refusal + textOf(added['refusal']),
    logprobs: choice?.['logprobs'],
    calls: callsOf(added),
    finishReason: typeof choice?.['finish_reason'] === 'string' ? choice['finish_reason'] : null,
    usage: readUsage(chunk['usage']) ?? readUsage(choice?.['usage']) ?? readUsage(fieldOf(chunk['x_groq'], 'usage')),
  };
}

/** Requests specify one choice, so only the first of several in a chunk counts. */
function choiceOf(choices: readonly unknown[]): Fields | undefined {
  const all = choices.filter(isFields);
  return all.length === 1 ? all[0] : all.find((choice) => (numberOf(choice['index']) ?? 0) === 0);
}

/** Finds an error that a server sends instead of a chunk or inside one. */
function errorOf(chunk: Fields, choice: Fields | undefined, hasChoices: boolean): unknown {
  const error = chunk['error'] ?? choice?.['error'];
  if (error !== undefined && error !== null && error !== false && error !== '') return error;
  const status = fieldOf(chunk['base_resp'], 'status_code');
  if (typeof status === 'number' && status !== 0) return chunk['base_resp'];
  if (chunk['object'] === 'error' || chunk['type'] === 'error') return chunk;
  if (hasChoices || isFields(chunk['usage'])) return undefined;
  const hasErrorField = ['detail', 'errors', 'error_code', 'error_message', 'error_msg'].some(
    (name) => chunk[name] !== undefined && chunk[name] !== null,
  );
  const message = typeof chunk['message'] === 'string' || typeof chunk['msg'] === 'string';
  const code = numberOf(chunk['code']) ?? numberOf(chunk['status']) ?? 0;
  return hasErrorField || message || code >= 400 || chunk['success'] === false ? chunk : undefined;
}

interface Content {
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
}
const NO_CONTENT: Content = { text: '', reasoning: '', refusal: '' };

function readContent(content: unknown): Content {
  if (typeof content === 'string') return { text: content, reasoning: '', refusal: '' };
  if (content === undefined || content === null) return NO_CONTENT;
  const parts: readonly unknown[] = Array.isArray(content) ? content : [content];
  const joined = { text: '', reasoning: '', refusal: '' };
  for (const part of parts) {
    if (typeof part === 'string') joined.text += part;
    else addPart(part, joined);
  }
  return joined;
}

function addPart(part: unknown, to: { text: string; reasoning: string; refusal: string }): void {
  const fields = isFields(part) ? part : {};
  const { type, text, refusal } = fields;
  if (type === 'thinking' || type === 'reasoning' || type === 'reasoning_text') {
    to.reasoning += nestedText(fields['thinking'] ?? fields['reasoning'] ?? text);
  } else if (type === 'refusal' && typeof refusal === 'string') to.refusal += refusal;
  else if ((type === 'text' || type === 'output_text' || type === undefined) && isTextOrNull(text))
    to.text += text ?? '';
  // Skip Mistral's citations; they have no text of their own.
  else if (type !== 'reference' && type !== 'tool_reference') throw malformed('content of an unknown shape');
}

function isTextOrNull(value: unknown): value is string | null {
  return typeof value === 'string' || value === null;
}

/** Returns a text, or the joined text parts of a list. */
function nestedText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return '';
  return value
    .map((part: unknown) =>
      textOf(typeof part === 'string' ? part : (fieldOf(part, 'text') ?? fieldOf(part, 'summary'))),
    )
    .join('');
}

/**
 * Returns the text of one kind of OpenRouter's details. A server that sends a summary also sends it
 * as `reasoning`.
 */
function detailsOf(message: Fields, type: string, name: string): string {
  const details = message['reasoning_details'];
  if (!Array.isArray(details)) return '';
  return details.map((part: unknown) => (fieldOf(part, 'type') === type ? textOf(fieldOf(part, name)) : '')).join('');
}

/**
 * Returns the reasoning of a message. Several servers send it in two fields, of which one counts.
 */
function reasoningOf(message: Fields): string {
  for (const name of ['reasoning_content', 'reasoning', 'thinking', 'reasoning_details']) {
    const text = nestedText(message[name]);
    if (text !== '') return text;
  }
  return '';
}

function callsOf(message: Fields): readonly CallPiece[] {
  const calls = message['tool_calls'];
  if (Array.isArray(calls)) return calls.filter(isFields).map(pieceOf);
  if (isFields(calls)) return [pieceOf(calls)];
  return isFields(message['function_call']) ? [pieceOf({ index: 0, function: message['function_call'] })] : [];
}

function pieceOf(call: Fields): CallPiece {
  const { name, arguments: args } = isFields(call['function']) ? call['function'] : {};
  return {
    index: numberOf(call['index']),
    id: textOf(call['id']),
    name: textOf(name),
    arguments: args === undefined || args === null ? '' : typeof args === 'string' ? args : JSON.stringify(args),
    extra: isFields(call['extra_content']) ? call['extra_content'] : undefined,
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldOf(value: unknown, name: string): unknown {
  return isFields(value) ? value[name] : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** Reads OpenAI's `usage`. @returns undefined unless both directions are counted */
function readUsage(raw: unknown): Usage | undefined {
  if (!isFields(raw)) return undefined;
  const input = count(raw['prompt_tokens'] ?? raw['input_tokens']);
  const written = count(raw['completion_tokens'] ?? raw['output_tokens']);
  if (input === undefined || written === undefined) return undefined;
  const inputDetails = raw['prompt_tokens_details'] ?? raw['input_tokens_details'];
  const outputDetails = raw['completion_tokens_details'] ?? raw['output_tokens_details'];
  const reasoning = count(fieldOf(outputDetails, 'reasoning_tokens') ?? raw['reasoning_tokens']) ?? 0;
  const total = count(raw['total_tokens']) ?? 0;
  // xAI and Gemini count reasoning only in the total.
  const output = Math.max(written, total - input);
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: count(fieldOf(inputDetails, 'cached_tokens') ?? raw['prompt_cache_hit_tokens']) ?? 0,
      cache_write_tokens: count(fieldOf(inputDetails, 'cache_write_tokens')) ?? 0,
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}

function count(value: unknown): number | undefined {
  const number = numberOf(value);
  return number !== undefined && number >= 0 ? number : undefined;
}
