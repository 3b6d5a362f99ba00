/*
 * A gateway of cardboard for the browser client's tests: a real server on port 0 that speaks
 * frames, with every answer given by the test. Knows no rule of the real gateway.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';

/** A frame as a test reads it: it reads only fields that it sent or expects. */
export type Frame = Record<string, unknown> & { type: string };

/**
 * One accepted socket. `next` takes the frames in order, waiting for those still to come; pings are
 * answered, but not returned.
 */
export class FakeSocket {
  answerPings = true;
  readonly #frames: Frame[] = [];
  #heard: (() => void) | null = null;

  constructor(
    readonly socket: WebSocket,
    readonly protocols: readonly string[],
  ) {
    socket.on('message', (data: Buffer) => {
      // Clients send JSON text.
      const frame = JSON.parse(data.toString()) as Frame;
      if (frame.type === 'sluice:ping') {
        if (this.answerPings) this.send({ type: 'sluice:pong', id: frame['id'] });
        return;
      }
      this.#frames.push(frame);
      this.#heard?.();
    });
  }

  /** Frames that came and were not taken. */
  get waiting(): number {
    return this.#frames.length;
  }

  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
  }

  send(...frames: object[]): void {
    for (const frame of frames) this.socket.send(JSON.stringify(frame));
  }
}

export interface Upgrade {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

export class FakeGateway {
  /** What the next upgrades, and GET /v1/models, are refused with; null: they are accepted. */
  refuse: Upgrade | null = null;
  /** Upgrades fail, while HTTP is served: what a proxy that knows no WebSockets does. */
  blockSockets = false;
  upgrades = 0;
  rest: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) =>
    response.writeHead(404).end();
  readonly #accepted: FakeSocket[] = [];
  #arrived: (() => void) | null = null;
  readonly #wss = new WebSocketServer({ noServer: true, handleProtocols: () => 'sluice.v1' });
  readonly #server = createServer((request, response) => {
    if (request.url !== '/v1/models') return this.rest(request, response);
    const { status = 200, headers = {}, body = { object: 'list', data: [] } } = this.refuse ?? {};
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  });

  static async start(port = 0): Promise<FakeGateway> {
    const gateway = new FakeGateway();
    gateway.#server.on('upgrade', (request: IncomingMessage, socket, head) => {
      gateway.upgrades++;
      if (gateway.refuse || gateway.blockSockets) {
        socket.end(
          `HTTP/1.1 ${gateway.refuse?.status ?? 502} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
        );
        return;
      }
      gateway.#wss.handleUpgrade(request, socket, head, (ws) => {
        const protocols = String(request.headers['sec-websocket-protocol'] ?? '').split(/, ?/);
        const accepted = new FakeSocket(ws, protocols);
        accepted.send({
          type: 'sluice:hello',
          connection_id: 'conn_1',
          heartbeat_ms: 20_000,
          max_message_bytes: 1_048_576,
        });
        gateway.#accepted.push(accepted);
        gateway.#arrived?.();
      });
    });
    gateway.#server.listen(port, '127.0.0.1');
    await once(gateway.#server, 'listening');
    return gateway;
  }

  get port(): number {
    // A TCP server that listens has such an address.
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The next accepted socket. */
  async socket(): Promise<FakeSocket> {
    for (;;) {
      const socket = this.#accepted.shift();
      if (socket !== undefined) return socket;
      await new Promise<void>((resolve) => (this.#arrived = resolve));
    }
  }

  async close(): Promise<void> {
    for (const ws of this.#wss.clients) ws.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The events of one response, as the gateway numbers them. */
export class Script {
  #number = 0;
  text = '';

  constructor(
    readonly id: string,
    readonly lane: unknown,
  ) {}

  #event(type: string, fields: object): Frame {
    return { type, sequence_number: this.#number++, ...fields, stream_id: this.lane };
  }

  response(status: string, more: object = {}): object {
    return { id: this.id, status, output_text: this.text, output: [], model: 'm', sluice: {}, ...more };
  }

  created(): Frame {
    return this.#event('response.created', { response: { ...this.response('in_progress'), output_text: '' } });
  }

  delta(text: string): Frame {
    this.text += text;
    return this.#event('response.output_text.delta', { delta: text });
  }

  end(status = 'completed', more: object = {}): Frame {
    const type = status === 'cancelled' ? 'response.incomplete' : `response.${status}`;
    return this.#event(type, { response: this.response(status, more) });
  }
}
