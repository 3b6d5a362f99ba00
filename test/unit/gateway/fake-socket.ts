/* A client's socket that keeps what it was sent, and is as full as a test says. */

import { EventEmitter } from 'node:events';
import { type ClientSocket } from '../../../src/gateway/client-socket.js';

type Frame = Readonly<Record<string, unknown>>;

export class FakeSocket extends EventEmitter implements ClientSocket {
  open = true;
  /** Bytes that the peer has not read; with `reads` false it grows with every frame. */
  bufferedAmount = 0;
  reads = true;
  isPaused = false;
  pings = 0;
  terminated = false;
  closed: { readonly code: number; readonly reason: string } | undefined;
  readonly frames: Frame[] = [];
  /** Types of response events and Sluice's own, in order. */
  get types(): string[] {
    return this.frames.map((frame) => String(frame['type']));
  }

  sequences(responseId?: string): number[] {
    return this.frames
      .filter((frame) => 'sequence_number' in frame && (responseId === undefined || frame['item_id'] === responseId))
      .map((frame) => Number(frame['sequence_number']));
  }

  send(text: string): void {
    this.#keep(text, Buffer.byteLength(text));
  }

  ping(): void {
    this.pings += 1;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  close(code: number, reason: string): void {
    this.open = false;
    this.closed = { code, reason };
  }

  terminate(): void {
    this.terminated = true;
    this.open = false;
    this.emit('close', 1006);
  }

  write(bytes: readonly Buffer[]): void {
    for (let rest = Buffer.concat(bytes); rest.length > 0;) rest = this.#take(rest);
  }

  /** One unmasked text frame off the front (RFC 6455, 5.2). */
  #take(bytes: Buffer): Buffer<ArrayBuffer> {
    const short = bytes.readUInt8(1);
    const head = short === 127 ? 10 : short === 126 ? 4 : 2;
    const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
    this.#keep(bytes.toString('utf8', head, head + length), head + length);
    return Buffer.from(bytes.subarray(head + length));
  }

  #keep(text: string, bytes: number): void {
    this.frames.push(JSON.parse(text) as Frame);
    if (!this.reads) this.bufferedAmount += bytes;
  }
}
