/*
 * One running response as the chunks of an AI SDK message. Keeps the chunks so far, so that a
 * second reader receives the message from its beginning.
 */

import { type UIMessageChunk } from 'ai';
import { type ResponseObject, type Sluice, type SluiceErrorShape, type SluiceResponse } from './client.js';
import { finishReasonOf, UiChunks } from './ui-chunks.js';

const TERMINAL = /^response\.(completed|incomplete|failed)$/;

export interface MessageStart {
  /**
   * Id of the message that the response continues; undefined: a new message, with the response's
   * id.
   */
  readonly messageId: string | undefined;
  /** Its earlier steps. */
  readonly before: readonly UIMessageChunk[];
}

/** `last step`: the chat has the earlier steps of the message already. */
export type Reading = 'whole message' | 'last step';

export class FollowedMessage {
  /** Resolves with the first event, or when the response has ended without one. */
  readonly begun: Promise<void>;
  /** Why no event came, or null. */
  refused: SluiceErrorShape | null = null;
  readonly #response: SluiceResponse;
  readonly #translation = new UiChunks();
  readonly #readers = new Map<ReadableStreamDefaultController<UIMessageChunk>, Reading>();
  #chunks: UIMessageChunk[] = [];
  #begin!: () => void;
  #hasBegun = false;
  #ended = false;
  /** The reader that was opened last. Only its abort cancels the turn. */
  #newest: object | null = null;

  constructor(client: Sluice, response: SluiceResponse, start: MessageStart) {
    this.#response = response;
    this.begun = new Promise((resolve) => (this.#begin = resolve));
    const open = (): void => {
      if (this.#hasBegun) return;
      this.#hasBegun = true;
      const messageId = start.messageId ?? response.id;
      this.#add([{ type: 'start', ...(messageId !== null && { messageId }) }]);
      this.#add(start.before, 'whole message');
      this.#add([{ type: 'start-step' }]);
      this.#begin();
    };
    response.on('event', (event) => {
      open();
      // The terminal event is handled at the end, which comes after it.
      if (!TERMINAL.test(event.type)) this.#add(this.#translation.take(event));
    });
    // A snapshot replaces many events, and is not one of the response's own events.
    const forget = client.on('frame', ({ direction, data }) => {
      if (direction === 'out' || data.type !== 'sluice:snapshot' || data.response_id !== response.id) return;
      open();
      if (data.response) this.#add(this.#translation.catchUp(data.response, false));
    });
    response.on('end', ({ response: ended, error }) => {
      forget();
      this.#end(ended, error);
    });
  }

  /**
   * Returns the chunks of the message, those so far included.
   * @param signal aborting it cancels the turn, unless a newer reader has taken over
   */
  read(reading: Reading, signal: AbortSignal | undefined): ReadableStream<UIMessageChunk> {
    const me = {};
    this.#newest = me;
    // The chat aborts a reader also when it opens the next one, in the same tick.
    const stop = (): void => void setTimeout(() => this.#newest === me && this.#response.cancel());
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    let reader: ReadableStreamDefaultController<UIMessageChunk>;
    return new ReadableStream<UIMessageChunk>({
      start: (controller) => {
        reader = controller;
        for (const chunk of this.#chunks) controller.enqueue(chunk);
        if (this.#ended) controller.close();
        else this.#readers.set(controller, reading);
      },
      cancel: () => void this.#readers.delete(reader),
    });
  }

  #end(ended: ResponseObject | null, error: SluiceErrorShape | null): void {
    if (!this.#hasBegun) {
      this.refused = error;
      this.#begin();
    }
    if (ended !== null) this.#add(this.#translation.catchUp(ended, true));
    const failure = error?.message ?? (ended?.status === 'failed' ? ended.error?.message : undefined);
    if (failure !== undefined) this.#add([{ type: 'error', errorText: failure }]);
    else if (ended !== null)
      this.#add([{ type: 'finish-step' }, { type: 'finish', finishReason: finishReasonOf(ended) }]);
    this.#ended = true;
    for (const reader of this.#readers.keys()) reader.close();
    this.#readers.clear();
  }

  /** @param only the readers that receive them; undefined: all */
  #add(chunks: readonly UIMessageChunk[], only?: Reading): void {
    for (const chunk of chunks) {
      this.#keep(chunk);
      for (const [reader, reading] of this.#readers) if (only === undefined || only === reading) reader.enqueue(chunk);
    }
  }

  /** Joins deltas, so that the kept chunks are few. */
  #keep(chunk: UIMessageChunk): void {
    const last = this.#chunks.at(-1);
    if (chunk.type === 'text-delta' && last?.type === 'text-delta' && last.id === chunk.id)
      this.#chunks[this.#chunks.length - 1] = { ...last, delta: last.delta + chunk.delta };
    else this.#chunks.push(chunk);
  }
}
