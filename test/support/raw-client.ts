/*
 * A WebSocket client without protocol logic: sends the frames of a test, and keeps every received
 * frame and the close in order.
 */

import { once } from 'node:events';
import { type IncomingMessage } from 'node:http';
import { type Socket } from 'node:net';
import { WebSocket } from 'ws';

export type Frame = Readonly<Record<string, unknown>> & { readonly type: string };

export interface RawClientOptions {
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Without the question mark. */
  readonly query?: string;
}

export interface Refusal {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: { readonly error: Readonly<Record<string, unknown>> };
}

const TERMINALS = new Set(['response.completed', 'response.incomplete', 'response.failed']);

export const isTerminalFrame = (frame: Frame): boolean => TERMINALS.has(frame.type);

export const OPCODES = { more: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

/**
 * One frame as a client sends it, masked by zeros (RFC 6455, 5.2).
 * @param size what its head says, where that is not true
 */
export function frameOf(
  opcode: number,
  payload: string | Buffer,
  { final = true, size }: { final?: boolean; size?: bigint } = {},
): Buffer {
  const body = Buffer.from(payload);
  const length = size ?? BigInt(body.length);
  const head = length < 126n ? 6 : length < 65_536n ? 8 : 14;
  const frame = Buffer.concat([Buffer.alloc(head), body]);
  frame[0] = (final ? 0x80 : 0) | opcode;
  frame[1] = 0x80 | (head === 6 ? Number(length) : head === 8 ? 126 : 127);
  if (head === 8) frame.writeUInt16BE(Number(length), 2);
  else if (head === 14) frame.writeBigUInt64BE(length, 2);
  return frame;
}

export class RawClient {
  readonly socket: WebSocket;
  /** All that came so far. */
  readonly frames: Frame[] = [];
  /** Resolves when the socket is closed, by whomever. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  #taken = 0;
  #over = false;
  readonly #waiting = new Set<() => void>();

  constructor(url: string, { protocols = [], headers = {}, query }: RawClientOptions = {}) {
    const target = query === undefined ? url : `${url}?${query}`;
    this.socket = new WebSocket(target, [...protocols], { headers, perMessageDeflate: false });
    this.socket.on('message', (data: Buffer) => {
      // The gateway sends JSON objects with a type.
      this.frames.push(JSON.parse(data.toString()) as Frame);
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code: number, reason: Buffer) => {
        this.#over = true;
        this.#wake();
        resolve({ code, reason: reason.toString() });
      });
    });
  }

  /** Resolves when the upgrade was accepted; nothing is read yet. */
  static async open(url: string, options: RawClientOptions = {}): Promise<RawClient> {
    const client = new RawClient(url, options);
    await once(client.socket, 'open');
    return client;
  }

  /** Resolves with what an upgrade was refused with. */
  static refused(url: string, options: RawClientOptions = {}): Promise<Refusal> {
    const client = new RawClient(url, options);
    return new Promise((resolve, reject) => {
      client.socket.on('open', () => {
        client.socket.terminate();
        reject(new Error('the upgrade was accepted'));
      });
      client.socket.on('unexpected-response', (_request, response: IncomingMessage) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => {
          // Every refusal has this shape; a test that gets another one fails here.
          const parsed = JSON.parse(body) as Refusal['body'];
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed });
        });
      });
    });
  }

  /** The connection under it, for bytes that no library would send. */
  get wire(): Socket {
    // Private in `ws`, and what it writes to.
    return (this.socket as unknown as { readonly _socket: Socket })._socket;
  }

  send(frame: object | string): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  create(fields: object): void {
    this.send({ type: 'response.create', ...fields });
  }

  /** The next frame that was not taken. Rejects where the socket closes before it. */
  async next(): Promise<Frame> {
    const [frame] = await this.take(() => true);
    if (frame === undefined) throw new Error('no frame');
    return frame;
  }

  /** All frames not taken, up to and including the first that passes. */
  async take(last: (frame: Frame) => boolean): Promise<Frame[]> {
    const taken: Frame[] = [];
    for (;;) {
      const frame = this.frames[this.#taken];
      if (frame === undefined) {
        const types = taken.map(({ type }) => type).join(', ');
        if (this.#over) throw new Error(`the socket closed before the frame that was waited for; came: ${types}`);
        await this.#more();
        continue;
      }
      this.#taken += 1;
      taken.push(frame);
      if (last(frame)) return taken;
    }
  }

  /** Frames up to the first of that type, which is returned. */
  async until(type: string): Promise<Frame> {
    const taken = await this.take((frame) => frame.type === type);
    return taken.at(-1) as Frame; // take() resolves with at least the last one
  }

  /** Frames up to the next terminal event or error. */
  turn(): Promise<Frame[]> {
    return this.take((frame) => isTerminalFrame(frame) || frame.type === 'error');
  }

  /** Sends a `response.create` and reads up to its terminal or error. */
  run(fields: object): Promise<Frame[]> {
    this.create(fields);
    return this.turn();
  }

  /** Resolves when the server has answered everything sent before. */
  async settle(): Promise<Frame[]> {
    const id = `settle-${this.frames.length}-${Math.random()}`;
    this.send({ type: 'sluice:ping', id });
    return this.take((frame) => frame.type === 'sluice:pong' && frame['id'] === id);
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
