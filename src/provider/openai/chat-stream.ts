/*
 * One running answer: bytes in, parts out. Opens with the first pull, reads no further ahead than a bounded queue, and closes the
 * provider's socket as soon as nobody wants the rest.
 */

import { estimateUsage } from '../estimate-usage.js';
import { type FinishReason, type ProviderPart, type ProviderRequest } from '../provider.js';
import { ChatChunks } from './chat-chunks.js';
import { fromThrown, interrupted, malformed } from './chat-errors.js';
import { type BodyReader, type LeanBody } from './lean-fetch.js';
import { PartQueue } from './part-queue.js';
import { SseData } from './sse-data.js';
import { SluiceError } from '../../domain/errors.js';

/** The socket pauses above the first and reads on below the second: a slow reader must not fill our memory. */
const PAUSE_ABOVE = 1024;
const RESUME_BELOW = 256;
/** How long the count and the end marker may take after the model has finished, before we do without. */
const AFTER_FINISH_MS = 2_000;

export class ChatStream implements AsyncIterator<ProviderPart, undefined>, BodyReader {
  readonly #queue = new PartQueue();
  readonly #chunks = new ChatChunks();
  readonly #sse = new SseData();
  #body: LeanBody | undefined;
  #opened = false;
  #paced = false;
  #paused = false;
  /** No more parts are taken from the body. */
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.#abort();

  constructor(
    readonly name: string,
    readonly request: ProviderRequest,
    readonly signal: AbortSignal,
    readonly open: () => Promise<LeanBody>,
  ) {}

  next(): Promise<IteratorResult<ProviderPart, undefined>> {
    if (!this.#opened) return this.#begin();
    // Also where the body has long ended and only the queue is still read.
    if (this.signal.aborted) this.#abort();
    if (this.#paused && this.#queue.size < RESUME_BELOW) {
      this.#paused = false;
      this.#body?.resume();
    }
    return this.#queue.next();
  }

  /** The reader goes away early. */
  return(): Promise<IteratorResult<ProviderPart, undefined>> {
    this.#stop(new Error('the answer is no longer read'));
    this.#queue.clear();
    this.#queue.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  async #begin(): Promise<IteratorResult<ProviderPart, undefined>> {
    this.#opened = true;
    try {
      this.#body = await this.open();
    } catch (thrown) {
      this.#queue.end();
      throw thrown;
    }
    this.#queue.push([{ type: 'start', provider: this.name, model: this.request.model }]);
    this.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#body.read(this);
    return this.#queue.next();
  }

  onChunk(chunk: Buffer): void {
    if (this.#over) return;
    const text = this.#sse.atStart ? this.#chunks.textBytes?.textOf(chunk) : undefined;
    try {
      if (text === undefined) this.#take(this.#sse.push(chunk));
      else this.#takeText(text);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  onEnd(): void {
    if (this.#over) return this.#settle();
    try {
      this.#take(this.#sse.end());
    } catch {
      // Half a line: whether the answer was whole is for the next step to say.
    }
    this.#complete();
    this.#settle();
  }

  onError(error: Error): void {
    if (this.#over) return this.#settle();
    // A model that has finished has said everything; that the connection broke afterwards takes nothing away.
    if (this.#chunks.finished) this.#complete();
    else this.#fail(interrupted(error));
    this.#settle();
  }

  #takeText(text: string): void {
    const parts: ProviderPart[] = [];
    this.#chunks.pushText(text, parts);
    this.#hand(parts);
    this.#look();
  }

  #take(events: readonly string[]): void {
    if (events.length === 0) return;
    const parts: ProviderPart[] = [];
    try {
      for (const data of events) this.#chunks.push(data, parts);
    } finally {
      this.#hand(parts);
    }
    this.#look();
  }

  /** The first word of an answer never waits for a tick, what follows may. */
  #hand(parts: readonly ProviderPart[]): void {
    this.#queue.push(parts);
    if (this.#paced || parts.length === 0) return;
    this.#paced = true;
    this.#body?.pace(true);
  }

  /** Is the answer complete, or is the reader too far behind? */
  #look(): void {
    if (this.#chunks.done || (this.#chunks.finished && this.#chunks.usage !== undefined)) this.#complete();
    else if (this.#chunks.finished) this.#timer ??= setTimeout(() => this.#complete(), AFTER_FINISH_MS).unref();
    else if (this.#queue.size > PAUSE_ABOVE && !this.#paused) {
      this.#paused = true;
      this.#body?.pause();
    }
  }

  /** Says usage and finish. What the body still holds is read and dropped, so that its connection can be used again. */
  #complete(): void {
    if (this.#over) return;
    let reason: FinishReason;
    try {
      reason = this.#chunks.finish();
    } catch (thrown) {
      return this.#fail(thrown);
    }
    this.#over = true;
    this.#body?.pace(false);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#body?.destroy(new Error('the body did not end')), AFTER_FINISH_MS).unref();
    if (this.#paused) this.#body?.resume();
    const { usage } = this.#chunks;
    const close = (part: ProviderPart): void => {
      this.#queue.push([part, { type: 'finish', reason }]);
      this.#queue.end();
    };
    if (usage !== undefined) return close({ type: 'usage', usage, estimated: false });
    estimateUsage(this.request, this.#chunks.produced).then(
      (estimate) => close({ type: 'usage', usage: estimate, estimated: true }),
      (error: unknown) => this.#queue.fail(fromThrown(error)),
    );
  }

  #abort(): void {
    this.#stop(this.signal.reason);
    this.#queue.fail(this.signal.reason, true);
  }

  #fail(thrown: unknown): void {
    this.#stop(thrown);
    this.#queue.fail(thrown instanceof SluiceError ? thrown : malformed('a line without end'));
  }

  #stop(reason: unknown): void {
    this.#over = true;
    this.#settle();
    this.#body?.destroy(reason instanceof Error ? reason : new Error('aborted', { cause: reason }));
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.signal.removeEventListener('abort', this.#onAbort);
  }
}
