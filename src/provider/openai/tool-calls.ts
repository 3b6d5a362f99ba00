/*
 * Assembles the tool calls of one answer from pieces that servers mark by index, by id, by name, or
 * not at all. A piece begins a new call if it names a function, and that name differs from the open
 * call's or the open call's arguments are complete.
 */

import { type ProviderPart } from '../provider.js';
import { type CallPiece } from './chat-chunk.js';
import { malformed } from './chat-errors.js';

interface Call {
  /** The index in parts; -1 until the name is known. */
  index: number;
  id: string;
  name: string;
  arguments: string;
}

export class ToolCalls {
  readonly #calls: Call[] = [];
  readonly #byId = new Map<string, Call>();
  readonly #byIndex = new Map<number, Call>();
  #started = 0;

  /** Number of calls with a name. */
  get started(): number {
    return this.#started;
  }

  /** Adds the parts for the pieces of one chunk. */
  push(pieces: readonly CallPiece[], parts: ProviderPart[]): void {
    const named = new Set<Call>();
    for (const piece of pieces) {
      const call = this.#callOf(piece, named);
      if (call === undefined) continue;
      if (piece.name !== '') named.add(call);
      this.#add(call, piece, parts);
    }
  }

  /**
   * Completes the calls at the end of the answer: one without arguments has an empty object.
   * @throws SluiceError for a call without a name
   */
  end(parts: ProviderPart[]): void {
    for (const call of this.#calls) {
      if (call.index < 0) throw malformed('a tool call without a name');
      if (call.arguments.trim() === '') parts.push({ type: 'function_arguments', index: call.index, delta: '{}' });
    }
  }

  /**
   * @param named calls that a piece of the same chunk named: a second name is a second call
   * @returns undefined if the piece repeats a complete call
   */
  #callOf(piece: CallPiece, named: ReadonlySet<Call>): Call | undefined {
    const open = this.#openCall(piece);
    if (open === undefined) return this.#newCall(piece);
    if (piece.name === '' || open.name === '') return this.#rest(open, piece);
    if (piece.id !== '' && piece.id === open.id && piece.name === open.name) {
      return isWhole(open.arguments) ? undefined : open;
    }
    if (named.has(open) || piece.name !== open.name || isWhole(open.arguments)) return this.#newCall(piece);
    return open;
  }

  /** Returns the call that a piece belongs to, unless it begins another. */
  #openCall({ id, index }: CallPiece): Call | undefined {
    const byId = id === '' ? undefined : this.#byId.get(id);
    if (byId !== undefined) return byId;
    return index === undefined ? this.#calls.at(-1) : this.#byIndex.get(index);
  }

  /**
   * Adds a piece without a name to the open call, unless that is complete and the piece has its own
   * id.
   */
  #rest(open: Call, piece: CallPiece): Call {
    const another = piece.index === undefined && piece.id !== '' && piece.id !== open.id && isWhole(open.arguments);
    return another ? this.#newCall(piece) : open;
  }

  #newCall({ id, index }: CallPiece): Call {
    // Do not reuse the id of another call: an output would answer both.
    const call: Call = { index: -1, id: this.#byId.has(id) ? '' : id, name: '', arguments: '' };
    this.#calls.push(call);
    if (index !== undefined) this.#byIndex.set(index, call);
    if (call.id !== '') this.#byId.set(call.id, call);
    return call;
  }

  #add(call: Call, { id, name, arguments: text, extra }: CallPiece, parts: ProviderPart[]): void {
    if (call.id === '' && id !== '' && !this.#byId.has(id)) {
      call.id = id;
      this.#byId.set(id, call);
    }
    call.arguments += text;
    if (call.index >= 0) {
      if (text !== '') parts.push({ type: 'function_arguments', index: call.index, delta: text });
      return;
    }
    if (name === '') return;
    call.name = name;
    call.index = this.#started++;
    if (call.id === '') {
      call.id = `call_${call.index}_${globalThis.crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`;
    }
    const opaque = extra === undefined ? {} : { extra };
    parts.push({ type: 'function_call', index: call.index, callId: call.id, name, ...opaque });
    if (call.arguments !== '') parts.push({ type: 'function_arguments', index: call.index, delta: call.arguments });
  }
}

/** Whether arguments are a complete JSON object or list. */
function isWhole(text: string): boolean {
  if (!/[}\]]\s*$/u.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
