/*
 * Writes server-sent events: a response's events as the log's own bytes, or any text made of them, one write a batch, never faster
 * than the reader reads. A stream ends in what its maker calls the last text or in an error, never cleanly without one,
 * since the official client takes a clean end for success. Knows nothing of turns.
 */

import { type OutgoingHttpHeaders, type ServerResponse } from 'node:http';

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent } from '../domain/event.js';
import { wireError } from '../protocol/errors.js';
import { type Interruption } from './open-answers.js';

export interface SseOptions {
  /** A comment line is written after so much silence, so that proxies keep the connection. */
  readonly keepAliveMs: number;
  /** A reader that takes nothing for so long is cut off. One that takes something, however slowly, is not. */
  readonly stallMs: number;
  /** How long a cut-off reader still has for the error, before its connection is destroyed. */
  readonly lingerMs: number;
  /** Ends the stream from outside, with an error. */
  readonly interruption?: Interruption;
}

/** `ended`: with a terminal event. `interrupted`: with an error. `gone`: the reader left. `stalled`: it was cut off. */
export type SseEnd = 'ended' | 'interrupted' | 'gone' | 'stalled';

/** Characters a write holds at most, so that a slow reader of a long replay costs little and shows its progress. */
const WRITE_CHARS = 65_536;

const SSE_HEADERS: OutgoingHttpHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** A piece of a stream's body: whole SSE lines. `last`: with it the stream is complete. */
export interface SseText {
  readonly text: string;
  readonly last: boolean;
}

/** What a stream says, and how it says that it breaks off. */
export interface SseBody {
  readonly texts: AsyncGenerator<SseText, void>;
  /** The error as the stream's last lines. */
  errorText(error: SluiceError): string;
}

/** What follows the terminal of a stream: OpenAI's end marker. */
export const DONE = 'data: [DONE]\n\n';

/** Sends the head, then every text, then the end. Never rejects; stops reading `texts` when the reader is gone. */
export async function writeTexts(
  raw: ServerResponse,
  headers: OutgoingHttpHeaders,
  { texts, errorText }: { readonly texts: AsyncIterable<SseText>; readonly errorText: SseBody['errorText'] },
  options: SseOptions,
): Promise<SseEnd> {
  const writer = new SseWriter(raw, options, errorText);
  writer.open({ ...headers, ...SSE_HEADERS });
  try {
    for await (const { text, last } of texts) {
      const written = await writer.write(text);
      if (written === 'stalled') return writer.cut(readTooSlowly());
      if (written === 'gone') return 'gone';
      if (last) return writer.end();
      if (options.interruption?.reason !== undefined) break;
    }
    const reason = options.interruption?.reason;
    if (reason === undefined) return writer.fail(endedEarly());
    writer.cut(reason);
    return 'interrupted';
  } catch (thrown) {
    return writer.fail(asSluiceError(thrown));
  } finally {
    writer.release();
  }
}

/** An event as SSE says it; its number is the id that a browser's EventSource sends back as Last-Event-ID. */
function sseText(event: LoggedEvent): string {
  return `event: ${event.type}\nid: ${event.sequence}\ndata: ${event.json}\n\n`;
}

/**
 * A response's events, OpenAI's end marker behind the terminal. Where there is no event at all its reader had the terminal event before, and the
 * stream ends at once. An error is an `error` event with the number of the first event that is missing.
 */
export function eventBody(batches: AsyncIterable<readonly LoggedEvent[]>): SseBody {
  let next = 0;
  async function* texts(): AsyncGenerator<SseText, void> {
    let told = false;
    for await (const batch of batches) {
      told = true;
      let text = '';
      for (const event of batch) {
        text += sseText(event);
        next = event.sequence + 1;
        const last = isTerminal(event.type);
        if (!last && text.length < WRITE_CHARS) continue;
        yield { text: last ? text + DONE : text, last };
        text = '';
      }
      if (text !== '') yield { text, last: false };
    }
    if (!told) yield { text: '', last: true };
  }
  const errorText = (error: SluiceError): string => {
    const event = { type: 'error', sequence_number: next, error: wireError(error) };
    return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
  };
  return { texts: texts(), errorText };
}

function endedEarly(): SluiceError {
  return new SluiceError(
    'state_unavailable',
    'unable to go on with this stream; its events ended before the response did; read on with starting_after',
  );
}

function readTooSlowly(): SluiceError {
  return new SluiceError(
    'overloaded',
    'unable to go on with this stream; it was not read for too long; read on with starting_after',
  );
}

class SseWriter {
  readonly #raw: ServerResponse;
  readonly #options: SseOptions;
  readonly #errorText: SseBody['errorText'];
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(raw: ServerResponse, options: SseOptions, errorText: SseBody['errorText']) {
    this.#raw = raw;
    this.#options = options;
    this.#errorText = errorText;
  }

  open(headers: OutgoingHttpHeaders): void {
    // A reset connection is a reader that left; 'close' tells of it.
    this.#raw.on('error', () => undefined);
    this.#raw.writeHead(200, headers);
    this.#raw.flushHeaders();
    this.#keepAlive = setInterval(() => {
      if (!this.#raw.writableNeedDrain && !this.#raw.writableEnded) this.#raw.write(': keep-alive\n\n');
    }, this.#options.keepAliveMs);
  }

  async write(text: string): Promise<'ok' | 'gone' | 'stalled'> {
    if (this.#raw.destroyed) return 'gone';
    this.#keepAlive?.refresh();
    return this.#raw.write(text) ? 'ok' : this.#drained();
  }

  end(): SseEnd {
    if (this.#raw.destroyed) return 'gone';
    this.#raw.end();
    return 'ended';
  }

  fail(error: SluiceError): SseEnd {
    if (this.#raw.destroyed) return 'gone';
    this.#raw.end(this.#errorText(error));
    return 'interrupted';
  }

  /** The error is queued behind what was not read; after `lingerMs` the connection is destroyed, read or not. */
  cut(error: SluiceError): SseEnd {
    if (this.fail(error) === 'gone') return 'gone';
    const timer = setTimeout(() => this.#raw.destroy(), this.#options.lingerMs);
    this.#raw.once('close', () => clearTimeout(timer));
    return 'stalled';
  }

  release(): void {
    clearInterval(this.#keepAlive);
  }

  /** `ok` also where the stream is to end: its end is queued behind what was not read. */
  #drained(): Promise<'ok' | 'gone' | 'stalled'> {
    if (this.#options.interruption?.reason !== undefined) return Promise.resolve('ok');
    return new Promise((resolve) => {
      let forget = (): void => undefined;
      const settle = (outcome: 'ok' | 'gone' | 'stalled') => () => {
        this.#raw.setTimeout(0);
        forget();
        this.#raw.off('drain', drained).off('close', closed).off('timeout', stalled);
        resolve(outcome);
      };
      const drained = settle('ok');
      const closed = settle('gone');
      const stalled = settle('stalled');
      forget = this.#options.interruption?.onInterrupt(drained) ?? forget;
      this.#raw.once('drain', drained).once('close', closed).once('timeout', stalled);
      // Node's own timeout of a socket starts again whenever the peer has taken a part of what is being written.
      this.#raw.setTimeout(this.#options.stallMs);
    });
  }
}
