/*
 * One response as a viewer sees it: its text, its cursor, its end. Takes each event once and in
 * order. Knows no socket: its owner sends requests.
 */

import {
  type Cursor,
  type ResponseEvents,
  type ResponseObject,
  type ResponseStatus,
  type SluiceResponse,
  type WireEvent,
} from './api.js';
import { Emitter } from './emitter.js';
import { type SluiceError } from './errors.js';

export const TERMINAL = /^response\.(completed|incomplete|failed)$/;

export class LiveResponse extends Emitter<ResponseEvents> implements SluiceResponse {
  id: string | null = null;
  status: ResponseStatus = 'waiting';
  text = '';
  refusal = '';
  readonly idempotencyKey: string | null;
  readonly final: Promise<ResponseObject>;
  cancelRequested = false;
  /** Whether it was ever requested on a socket. */
  sent = false;
  /** Resolves when it has an id or has ended without one. */
  readonly accepted: Promise<void>;
  #accept!: () => void;
  #after = -1;
  #ended: { readonly error: SluiceError | null } | null = null;
  /** Number of replacements of the text. */
  #replaced = 0;
  /** Length of the text after the newest replacement. */
  #replacedEnd = 0;
  readonly #onCancel: (response: LiveResponse) => void;
  #resolve!: (response: ResponseObject) => void;
  #reject!: (error: SluiceError) => void;

  constructor(
    from: { readonly cursor: Cursor } | { readonly idempotencyKey: string },
    onCancel: (response: LiveResponse) => void,
  ) {
    super();
    this.idempotencyKey = 'cursor' in from ? null : from.idempotencyKey;
    if ('cursor' in from) {
      this.id = from.cursor.id;
      this.#after = from.cursor.after ?? -1;
      // Without a first event no text was received: all of it comes again.
      this.text = this.#after < 0 ? '' : (from.cursor.text ?? '');
    }
    this.#onCancel = onCancel;
    this.final = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.accepted = new Promise((resolve) => (this.#accept = resolve));
    // A caller that only iterates receives the failure there. Without this handler the console
    // would also report an unhandled rejection.
    this.final.catch(() => undefined);
  }

  get ended(): boolean {
    return this.#ended !== null;
  }

  get cursor(): Required<Cursor> | null {
    return this.id === null ? null : { id: this.id, after: this.#after, text: this.text };
  }

  cancel(): void {
    if (this.ended) return;
    this.cancelRequested = true;
    this.#onCancel(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void> {
    let shown = 0;
    let replaced = this.#replaced;
    for (;;) {
      if (replaced !== this.#replaced) {
        replaced = this.#replaced;
        // Yielded text cannot be taken back; iteration continues after the new text.
        if (shown > 0) shown = this.#replacedEnd;
      }
      const text = this.text.slice(shown);
      shown += text.length;
      if (text) yield text;
      else if (this.#ended?.error) throw this.#ended.error;
      else if (this.#ended) return;
      else await this.next;
    }
  }

  /**
   * Takes one event of this response. `gap`: earlier events are missing and this one was not taken.
   * Takes a terminal event with any number, because it holds the whole response.
   */
  take(event: WireEvent): 'taken' | 'seen' | 'gap' {
    const number = event.sequence_number ?? -1;
    const terminal = TERMINAL.test(event.type) && event.response?.id === this.id;
    if (this.ended || (number <= this.#after && !terminal)) return 'seen';
    if (event.type === 'sluice:snapshot') {
      this.#after = number;
      if (event.response) this.#catchUp(event.response);
      return 'taken';
    }
    if (number > this.#after + 1 && !terminal) return 'gap';
    this.#after = number;
    this.identify(event.response?.id ?? null);
    this.emit('event', event);
    if (event.type === 'response.output_text.delta') this.#append(event.delta ?? '');
    else if (event.type === 'response.refusal.delta') this.#refuse(event.delta ?? '');
    else if (event.response) this.#catchUp(event.response, terminal);
    return 'taken';
  }

  /** Sets its id, unless it has one. A cancel that was requested before needs the id. */
  identify(id: string | null): void {
    if (id === null || this.id !== null) return;
    this.id = id;
    this.#accept();
    if (this.cancelRequested) this.#onCancel(this);
  }

  setStatus(status: ResponseStatus): void {
    if (this.status === status || this.ended) return;
    this.status = status;
    this.emit('status', status);
  }

  /**
   * Ends it without a response object: refused, lost, or closed by the client. The received text
   * stays.
   */
  fail(error: SluiceError): void {
    if (this.ended) return;
    this.setStatus(error.code === 'cancelled' ? 'cancelled' : error.kind === 'refused' ? 'refused' : 'lost');
    this.#end(null, error);
  }

  /**
   * Sets text, refusal and status from a response object. The text of a running response is kept if
   * the object has none.
   */
  #catchUp(response: ResponseObject, terminal = false): void {
    const full = response.output_text;
    if (full.startsWith(this.text)) this.#append(full.slice(this.text.length));
    else if (terminal || full) this.#replace(full);
    const refusal = refusalOf(response);
    if (refusal.startsWith(this.refusal)) this.#refuse(refusal.slice(this.refusal.length));
    this.setStatus(response.status);
    if (terminal) this.#end(response, null);
  }

  #append(delta: string): void {
    if (!delta) return;
    this.text += delta;
    this.emit('delta', delta);
  }

  #replace(text: string): void {
    this.text = text;
    this.#replaced++;
    this.#replacedEnd = text.length;
    this.emit('replace', text);
  }

  #refuse(delta: string): void {
    if (!delta) return;
    this.refusal += delta;
    this.emit('refusal', delta);
  }

  #end(response: ResponseObject | null, error: SluiceError | null): void {
    this.#ended = { error };
    this.#accept();
    if (response) this.#resolve(response);
    else if (error) this.#reject(error);
    this.emit('end', { response, error });
  }
}

function refusalOf(response: ResponseObject): string {
  return response.output
    .flatMap((item) => item.content ?? [])
    .map((part) => part.refusal ?? '')
    .join('');
}
