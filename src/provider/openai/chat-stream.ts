/*
 * One running answer: converts bytes to parts. Opens with the first pull, reads ahead only up to a
 * bounded queue, and closes the provider's socket as soon as the reader leaves.
 */

import { estimateUsage } from '../estimate-usage.js';
import { type FinishReason, type ProviderPart, type ProviderRequest } from '../provider.js';
import { ChatChunkReader } from './chat-chunks.js';
import { fromThrown, interrupted, malformed, unreadable } from './chat-errors.js';
import { AnswerBody, NotAnAnswer } from '../wire/answer-body.js';
import { type BodyReader } from '../wire/content-coding.js';
import { type LeanBody } from '../wire/lean-request.js';
import { PartQueue } from '../wire/part-queue.js';
import { type SseEvent } from '../wire/sse-events.js';
import { SluiceError } from '../../domain/errors.js';

/**
 * The socket pauses above the first value and resumes below the second, so that a slow reader does
 * not fill the memory.
 */
const PAUSE_ABOVE = 1024;
const RESUME_BELOW = 256;
/**
 * How long the count and the end marker may take after the model has finished. Then the answer ends
 * without them. Does not apply where more text may follow: there only the provider's own limits do.
 */
const AFTER_FINISH_MS = 2_000;

export class ChatStream implements AsyncIterator<ProviderPart, undefined>, BodyReader {
  readonly #queue = new PartQueue();
  readonly #chunks: ChatChunkReader;
  readonly #content = new AnswerBody();
  #body: LeanBody | undefined;
  #opened = false;
  #paced = false;
  #paused = false;
  /** Whether further parts of the body are ignored. */
  #over = false;
  /** Whether a time limit passed after the model had finished. The answer is still delivered. */
  #closing = false;
  #timer: NodeJS.Timeout | undefined;
  /** Number of characters that the model had written when the timer was set. */
  #timerAt = 0;
  readonly #onAbort = (): void => this.#abort();

  constructor(
    readonly name: string,
    readonly request: ProviderRequest,
    readonly signal: AbortSignal,
    readonly open: () => Promise<LeanBody>,
  ) {
    this.#chunks = new ChatChunkReader(request.sampling?.topLogprobs !== undefined);
  }

  next(): Promise<IteratorResult<ProviderPart, undefined>> {
    if (!this.#opened) return this.#begin();
    // Also applies if the body has ended and only the queue is still read.
    if (this.signal.aborted) this.#abort();
    if (this.#paused && this.#queue.size < RESUME_BELOW) {
      this.#paused = false;
      this.#body?.resume();
    }
    return this.#queue.next();
  }

  /** Stops reading and drops the queued parts. Called when the reader leaves early. */
  return(): Promise<IteratorResult<ProviderPart, undefined>> {
    // The rest of a complete answer is still dropped, so that its connection can be reused.
    if (!this.#over) this.#stop(new Error('the answer is no longer read'));
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
    const { requestId } = this.#body;
    const id = requestId === undefined ? {} : { requestId };
    this.#queue.push([{ type: 'start', provider: this.name, model: this.request.model, ...id }]);
    this.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#body.read(this);
    // The signal can abort between the answer and the listener.
    if (this.signal.aborted) this.#abort();
    return this.#queue.next();
  }

  onChunk(chunk: Buffer): void {
    if (this.#over) return;
    const text = this.#content.atStart ? this.#chunks.textBytes?.textOf(chunk) : undefined;
    try {
      if (text === undefined) this.#take(this.#content.push(chunk));
      else this.#takeText(text);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  onEnd(): void {
    if (this.#over) return this.#settle();
    try {
      this.#take(this.#content.end());
    } catch (thrown) {
      // For an incomplete line of a stream, the next step decides whether the answer was complete.
      // A document must be complete.
      if (this.#content.whole) {
        this.#fail(thrown);
        return;
      }
    }
    if (this.#content.whole) this.#chunks.endDocument();
    this.#complete();
    this.#settle();
  }

  onError(error: Error): void {
    if (this.#over) return this.#settle();
    // After the model has finished, a broken connection loses nothing.
    if (this.#chunks.finishedLast) this.#complete();
    else this.#fail(interrupted(error));
    this.#settle();
  }

  #takeText(text: string): void {
    this.#chunks.addText(text);
    this.#queue.pushText(text);
    this.#paceReads();
    this.#look();
  }

  #take(events: readonly SseEvent[]): void {
    if (events.length === 0) return;
    const parts: ProviderPart[] = [];
    try {
      for (const data of events) this.#chunks.push(data, parts);
    } finally {
      this.#deliver(parts);
    }
    this.#look();
  }

  #deliver(parts: readonly ProviderPart[]): void {
    if (parts.length === 0) return;
    this.#queue.push(parts);
    this.#paceReads();
  }

  /** Lets later text wait for a tick. The first text of an answer never does. */
  #paceReads(): void {
    if (this.#paced) return;
    this.#paced = true;
    this.#body?.pace(true);
  }

  /** Stops reading if the answer is complete, and pauses if the reader is too far behind. */
  #look(): void {
    if (this.#chunks.done) this.#complete();
    else if (this.#chunks.finishedAlone) this.#awaitEnd();
    else if (this.#queue.size > PAUSE_ABOVE && !this.#paused) {
      this.#paused = true;
      this.#body?.pause();
    }
  }

  /** Restarts the wait with each text after a finish reason. */
  #awaitEnd(): void {
    const { producedLength } = this.#chunks;
    if (this.#timer !== undefined && this.#timerAt === producedLength) return;
    this.#timerAt = producedLength;
    this.#startTimer();
  }

  #startTimer(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(this.#onTimer, AFTER_FINISH_MS).unref();
    else this.#timer.refresh();
  }

  readonly #onTimer = (): void => {
    if (this.#over) this.#body?.destroy(new Error('the body did not end'));
    else if (this.#chunks.finishedAlone) {
      const { producedLength } = this.#chunks;
      this.#readOnce(() => {
        if (this.#chunks.producedLength === producedLength) this.#complete();
      });
    }
  };

  /**
   * Reads what has arrived, then calls `next` unless the answer is over. When a busy process is
   * late, its timers run before it reads its sockets.
   */
  #readOnce(next: () => void): void {
    this.#body?.pace(false);
    setImmediate(() => {
      if (!this.#over) next();
    });
  }

  /**
   * Delivers usage and finish. Reads and drops the rest of the body, so that its connection can be
   * reused.
   */
  #complete(): void {
    if (this.#over) return;
    let reason: FinishReason;
    const last: ProviderPart[] = [];
    try {
      reason = this.#chunks.finish(last);
    } catch (thrown) {
      return this.#fail(thrown);
    }
    this.#queue.push(last);
    this.#over = true;
    this.#body?.pace(false);
    this.#startTimer();
    if (this.#paused) this.#body?.resume();
    const { usage } = this.#chunks;
    const close = (part: ProviderPart): void => {
      this.#queue.push([part, { type: 'finish', reason }]);
      this.#queue.end();
    };
    if (usage !== undefined) return close({ type: 'usage', usage, estimated: false });
    estimateUsage(this.request, this.#chunks.produced, this.#chunks.reasoning).then(
      (estimate) => close({ type: 'usage', usage: estimate, estimated: true }),
      (error: unknown) => this.#queue.fail(fromThrown(error)),
    );
  }

  #abort(): void {
    const { reason } = this.signal as { readonly reason: unknown };
    if (this.#closing) return;
    const complete = this.#over ? this.#chunks.finished : this.#chunks.finishedLast;
    // The provider is silent after its finish reason, so only the end of the body is missing.
    if (complete && reason instanceof SluiceError && reason.code === 'provider_timeout') {
      this.#closing = true;
      return this.#readOnce(() => {
        if (this.#chunks.finishedLast) this.#complete();
        else this.#fail(reason);
      });
    }
    this.#stop(this.signal.reason);
    this.#queue.fail(this.signal.reason, true);
  }

  #fail(thrown: unknown): void {
    this.#stop(thrown);
    if (thrown instanceof NotAnAnswer) this.#queue.fail(unreadable(thrown.message));
    else this.#queue.fail(thrown instanceof SluiceError ? thrown : malformed('a line without end'));
  }

  #stop(reason: unknown): void {
    this.#over = true;
    this.#settle();
    this.#body?.destroy(reason instanceof Error ? reason : new Error('aborted', { cause: reason }));
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.signal.removeEventListener('abort', this.#onAbort);
  }
}
