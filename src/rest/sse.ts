/*
 * Writes server-sent events: the bytes of a response's log, or any text made from its events. Makes
 * one write for each batch, and never writes faster than the client reads. A stream ends with the
 * text marked `last` or with an error. It never ends cleanly without one, because the official
 * client takes a clean end for success. Knows nothing of turns.
 */

import { type OutgoingHttpHeaders, type ServerResponse } from 'node:http';

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent } from '../domain/event.js';
import { wireError } from '../protocol/errors.js';
import { type Interruption } from './open-answers.js';

export interface SseOptions {
  /** Silence after which a comment line is written, so that proxies keep the connection. */
  readonly keepAliveMs: number;
  /**
   * How long a client may read nothing before its stream is cut. A client that still reads, however
   * slowly, is not cut.
   */
  readonly stallMs: number;
  /**
   * How long a client that was cut may still read the error, before its connection is destroyed.
   */
  readonly lingerMs: number;
  /** Ends the stream early, with an error. Absent: the stream is never interrupted. */
  readonly interruption?: Interruption | undefined;
}

/**
 * `ended`: with a terminal event. `interrupted`: with an error. `gone`: the client disconnected.
 * `stalled`: the stream was cut.
 */
export type SseEnd = 'ended' | 'interrupted' | 'gone' | 'stalled';

/**
 * Most characters of one write. It bounds the memory of a slow reader of a long replay, and shows
 * its progress.
 */
const WRITE_CHARS = 65_536;

const SSE_HEADERS: OutgoingHttpHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** A piece of a stream's body in whole SSE lines. `last`: whether it completes the stream. */
export interface SseText {
  readonly text: string;
  readonly last: boolean;
}

/** The texts of a stream, and how it reports an error. */
export interface SseBody {
  readonly texts: AsyncGenerator<SseText, void>;
  /** Formats an error as the last lines of the stream. */
  errorText(error: SluiceError): string;
}

/** OpenAI's end marker, which follows the terminal event. */
export const DONE = 'data: [DONE]\n\n';

/**
 * Sends the head, every text and the end. Never rejects. Stops reading `texts` when the client
 * disconnects.
 */
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

/**
 * Formats an event. Its number is the id that a browser's EventSource sends back as Last-Event-ID.
 */
function sseText(event: LoggedEvent): string {
  return `event: ${event.type}\nid: ${event.sequence}\ndata: ${event.json}\n\n`;
}

/**
 * Returns the body for a response's events, with OpenAI's end marker after the terminal event.
 * Without any event the stream ends at once: the client had received the terminal event before. An
 * error is an `error` event with the number of the first missing event.
 * @param reading has aborted if the batches end because the reading must end, not because the
 * response has ended
 * @param after number of the last event that the client has
 */
export function eventBody(batches: AsyncIterable<readonly LoggedEvent[]>, reading: AbortSignal, after = -1): SseBody {
  let next = after + 1;
  async function* texts(): AsyncGenerator<SseText, void> {
    let started = false;
    for await (const batch of batches) {
      started = true;
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
    if (!started && !reading.aborted) yield { text: '', last: true };
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
    'unable to continue this stream; its events ended before the response did; resume with starting_after',
  );
}

function readTooSlowly(): SluiceError {
  return new SluiceError(
    'overloaded',
    'unable to continue this stream; it was not read for too long; resume with starting_after',
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
    // A reset is reported by 'close'; without a listener 'error' would end the process.
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

  /**
   * Queues the error behind unread data. Destroys the connection after `lingerMs`, whether the data
   * was read or not.
   */
  cut(error: SluiceError): SseEnd {
    if (this.fail(error) === 'gone') return 'gone';
    const timer = setTimeout(() => this.#raw.destroy(), this.#options.lingerMs);
    this.#raw.once('close', () => clearTimeout(timer));
    return 'stalled';
  }

  release(): void {
    clearInterval(this.#keepAlive);
  }

  /**
   * Waits until the client has read what was written.
   * @returns `ok` also if the stream must end, because its end is queued behind unread data
   */
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
      // Node restarts this timeout whenever the peer has read a part of the pending write.
      this.#raw.setTimeout(this.#options.stallMs);
    });
  }
}
