/*
 * A queue of parts. The stream pushes many at once, the reader pulls one by one. Texts that arrive
 * together are delivered as one part. Knows no network.
 */

import { type ProviderPart } from '../provider.js';

type PullResult = IteratorResult<ProviderPart, undefined>;

/** Text that waits in a queue. Later text is added to it. */
interface WaitingText {
  readonly type: 'text' | 'reasoning';
  text: string;
}

/**
 * Queues whose reader is served in the next round of the event loop. A tick reads many streams in
 * one round, and one callback for all of them costs less than one for each.
 */
let due: PartQueue[] = [];

function serveDue(): void {
  const queues = due;
  due = [];
  for (const queue of queues) queue.deliver();
}

export class PartQueue {
  #parts: (ProviderPart | WaitingText)[] = [];
  /** The last of the parts if text can be added to it. */
  #open: WaitingText | undefined;
  #at = 0;
  #outcome: { readonly thrown?: unknown; readonly threw: boolean } | undefined;
  /** Settle the waiting pull. Undefined: no pull waits. */
  #resolve: ((result: PullResult) => void) | undefined;
  #reject: ((thrown: unknown) => void) | undefined;
  #serving = false;
  /** Whether the first text was delivered; it is delivered at once. */
  #spoken = false;
  /** Number of texts that were joined to the one before them. */
  #joined = 0;

  /** Number of parts that were pushed and not pulled; joined texts count separately. */
  get size(): number {
    return this.#parts.length - this.#at + this.#joined;
  }

  push(parts: readonly ProviderPart[]): void {
    if (this.#outcome !== undefined) return;
    for (const part of parts) {
      if (part.type === 'text' || part.type === 'reasoning') this.#addText(part.type, part.text);
      else {
        this.#open = undefined;
        this.#parts.push(part);
      }
    }
    this.#wake();
  }

  /** Pushes one part of type `text`. */
  pushText(text: string): void {
    if (this.#outcome !== undefined) return;
    this.#addText('text', text);
    this.#wake();
  }

  #addText(type: WaitingText['type'], text: string): void {
    if (this.#open?.type === type) {
      this.#open.text += text;
      this.#joined += 1;
    } else this.#parts.push((this.#open = { type, text }));
  }

  #wake(): void {
    if (this.#resolve === undefined || this.#serving) return;
    this.#serving = true;
    // A TLS connection emits each record separately. Deliver everything from one round of the event
    // loop together.
    if (!this.#spoken) queueMicrotask(() => this.deliver());
    else if (due.push(this) === 1) setImmediate(serveDue);
  }

  /** Serves the waiting pull; called in the next round of the event loop. */
  deliver(): void {
    this.#serving = false;
    this.#serve();
  }

  /** Ends the queue after its remaining parts. Only the first end has an effect. */
  end(): void {
    this.#outcome ??= { threw: false };
    this.#serve();
  }

  /** Throws after the remaining parts, or instead of them if `atOnce` is set. */
  fail(thrown: unknown, atOnce = false): void {
    if (this.#outcome !== undefined && !atOnce) return;
    this.#outcome = { thrown, threw: true };
    if (atOnce) this.clear();
    this.#serve();
  }

  clear(): void {
    this.#parts = [];
    this.#open = undefined;
    this.#at = 0;
    this.#joined = 0;
  }

  /** Supports one pull at a time, as in `for await`. */
  next(): Promise<PullResult> {
    const part = this.#take();
    if (part !== undefined) return Promise.resolve({ value: part, done: false });
    const pull = new Promise(this.#wait);
    if (this.#outcome !== undefined) this.#serve();
    return pull;
  }

  readonly #wait = (resolve: (result: PullResult) => void, reject: (thrown: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  #serve(): void {
    const [resolve, reject] = [this.#resolve, this.#reject];
    if (resolve === undefined) return;
    const part = this.#take();
    if (part === undefined && this.#outcome === undefined) return;
    this.#resolve = undefined;
    this.#reject = undefined;
    if (part !== undefined) resolve({ value: part, done: false });
    else if (this.#outcome?.threw) {
      // Rejects with the value unchanged, since the reason of an abort may be anything. Rejects
      // once; later pulls return done.
      reject?.(this.#outcome.thrown);
      this.#outcome = { threw: false };
    } else resolve({ value: undefined, done: true });
  }

  #take(): ProviderPart | undefined {
    const part = this.#parts[this.#at];
    if (part === undefined) return undefined;
    if (part.type === 'text' || part.type === 'reasoning') this.#spoken = true;
    if (++this.#at === this.#parts.length) {
      this.#parts.length = 0;
      this.#at = 0;
      this.#open = undefined;
      this.#joined = 0;
    }
    return part;
  }
}
