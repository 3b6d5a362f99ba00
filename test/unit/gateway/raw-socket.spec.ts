/* Frames that this project encodes itself, read by the library `ws`. */

import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { frameAround, RawSocket, textFrame } from '../../../src/gateway/raw-socket.js';

// On both sides of every length at which a frame's head grows, in one and in several bytes a
// character.
const TEXTS = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000].flatMap((length) => [
  'x'.repeat(length),
  'é'.repeat(length / 2),
  '😀'.repeat(length / 4),
]);

describe('text frames', () => {
  let server: WebSocketServer;
  let client: WebSocket;
  let served: WebSocket;

  beforeAll(async () => {
    server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
    await once(server, 'listening');
    // A TCP listener's address is always this.
    client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    [served] = (await once(server, 'connection')) as [WebSocket];
    await once(client, 'open');
  });
  afterAll(async () => {
    client.terminate();
    await new Promise((resolve) => server.close(resolve));
  });

  async function received(count: number, send: () => void): Promise<string[]> {
    const texts: string[] = [];
    const all = new Promise<void>((resolve) => {
      client.on('message', (data: Buffer, isBinary) => {
        texts.push(isBinary ? 'binary' : data.toString());
        if (texts.length === count) resolve();
      });
    });
    send();
    await all;
    client.removeAllListeners('message');
    return texts;
  }

  it('delivers many text frames at once unchanged', async () => {
    expect(await received(TEXTS.length, () => new RawSocket(served).write(TEXTS.map(textFrame)))).toEqual(TEXTS);
  });

  it('delivers a frame whole that was written in pieces', async () => {
    const sent = TEXTS.map((text) => [...frameAround('{"é":"', Buffer.from(text), '"}')]);
    expect(await received(TEXTS.length, () => new RawSocket(served).write(sent.flat()))).toEqual(
      TEXTS.map((text) => `{"é":"${text}"}`),
    );
  });

  it('delivers a single frame, and none for no bytes', async () => {
    expect(await received(1, () => new RawSocket(served).write([textFrame('alone')]))).toEqual(['alone']);
    const after = received(1, () => {
      new RawSocket(served).write([]);
      served.send('after');
    });
    expect(await after).toEqual(['after']);
  });

  it('keeps text frames in order with the frames that ws sends', async () => {
    const texts = await received(3, () => {
      served.send('first');
      new RawSocket(served).write([textFrame('second')]);
      served.send('third');
    });
    expect(texts).toEqual(['first', 'second', 'third']);
  });
});
