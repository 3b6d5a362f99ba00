/*
 * Where lines of the audit log go: a file, stdout or stderr. Writes beside the event loop. A line
 * that cannot be written is dropped and counted: a full disk or a closed pipe harms no turn.
 */

import { close, constants, fstatSync, openSync, write } from 'node:fs';
import { StartMistake } from '../config/config-error.js';
import { errorCode } from '../domain/errors.js';
import { systemTime } from '../domain/time.js';

export interface AuditSinkOptions {
  /** `stdout`, `stderr`, or the path of a file. */
  readonly output: string;
  /**
   * Called with lines that were dropped, and why: `full` if too many waited, or the system's code.
   */
  readonly onDropped: (lines: number, reason: string) => void;
}

/** Most bytes that wait to be written. Beyond it, new lines are dropped. */
const WAITING_MAX = 1024 * 1024;
/** Most bytes of one write to a file. */
const BATCH_BYTES = 65_536;
/** Pause before a pipe that is full is tried again. */
const RETRY_MS = 100;
/** How long the end of the process waits for the last lines. */
const CLOSE_WITHIN_MS = 500;
const MODE = 0o640;
/** Not blocking: a named pipe without a reader must not stop the process. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
const STREAMS: Readonly<Record<string, number>> = { stdout: 1, stderr: 2 };

export class AuditSink {
  readonly #options: AuditSinkOptions;
  readonly #isFile: boolean;
  #fd: number;
  #waiting: Buffer[] = [];
  #bytes = 0;
  #writing = false;
  /** Whether the last write left a part of a line. */
  #torn = false;
  #closed = false;
  #onIdle: () => void = () => undefined;

  /** @throws StartMistake if the file cannot be opened */
  constructor(options: AuditSinkOptions) {
    this.#options = options;
    const stream = STREAMS[options.output];
    this.#isFile = stream === undefined;
    this.#fd = stream === undefined ? opened(options.output) : notBlocking(stream);
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#closed || this.#bytes + bytes.length > WAITING_MAX) {
      this.#options.onDropped(1, 'full');
      return;
    }
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    if (!this.#writing) this.#next();
  }

  /** Opens the file again: after a rotation its name means a new file. */
  reopen(): void {
    if (!this.#isFile || this.#closed) return;
    const former = this.#fd;
    try {
      this.#fd = openSync(this.#options.output, FLAGS, MODE);
    } catch (error) {
      // The former file is still open: the lines continue there.
      this.#options.onDropped(0, errorCode(error) ?? 'unknown');
      return;
    }
    this.#torn = false;
    // A write to the former file may be in progress.
    this.#whenIdle(() => close(former, () => undefined));
  }

  /** Resolves when every line was written or dropped, at the latest after `CLOSE_WITHIN_MS`. */
  async close(): Promise<void> {
    this.#closed = true;
    await new Promise<void>((resolve) => {
      const cancel = systemTime.after(CLOSE_WITHIN_MS, resolve);
      this.#whenIdle(() => {
        cancel();
        resolve();
      });
    });
    if (this.#isFile && !this.#writing) close(this.#fd, () => undefined);
  }

  #whenIdle(work: () => void): void {
    if (!this.#writing) return work();
    const before = this.#onIdle;
    this.#onIdle = () => {
      before();
      work();
    };
  }

  #next(): void {
    const lines = this.#batch();
    if (lines.length === 0) {
      this.#writing = false;
      const work = this.#onIdle;
      this.#onIdle = () => undefined;
      work();
      return;
    }
    this.#writing = true;
    const whole = Buffer.concat(this.#torn ? [Buffer.from('\n'), ...lines] : lines);
    this.#put(this.#fd, whole, 0, lines.length);
  }

  /**
   * Takes lines to write. One at a time to a stream: whole lines cannot mix with those of the log.
   */
  #batch(): readonly Buffer[] {
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && (!this.#isFile || bytes + line.length > BATCH_BYTES)) break;
      bytes += line.length;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  #put(fd: number, whole: Buffer, from: number, lines: number): void {
    write(fd, whole, from, whole.length - from, null, (error, written) => {
      const next = from + (written ?? 0);
      if (error?.code === 'EAGAIN') {
        systemTime.after(RETRY_MS, () => this.#put(fd, whole, from, lines));
      } else if (error !== null) {
        this.#torn = from > 0;
        this.#options.onDropped(lines, errorCode(error) ?? 'unknown');
        this.#next();
      } else if (next < whole.length) this.#put(fd, whole, next, lines);
      else {
        this.#torn = false;
        this.#next();
      }
    });
  }
}

/**
 * Opens a stream of the process a second time, without blocking, if it is a pipe. A write to a full
 * pipe would otherwise occupy a thread, and the process could not exit before the pipe is read.
 */
function notBlocking(stream: number): number {
  try {
    if (!fstatSync(stream).isFIFO()) return stream;
    return openSync(`/proc/self/fd/${stream}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // There is no /proc, or the pipe belongs to another user.
    return stream;
  }
}

function opened(path: string): number {
  try {
    return openSync(path, FLAGS, MODE);
  } catch (error) {
    throw new StartMistake({
      path: 'monitoring.audit.output',
      problem: `unable to open ${path} for writing (${errorCode(error) ?? 'unknown'}); give a file in a folder that this user may write to`,
    });
  }
}
