/* A conversation as the React hook shows it: what is left behind when its component is gone. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ServerResponse } from 'node:http';
import { Chat } from '../../../client/src/chat.js';
import { ClientHarness } from '../../support/client-harness.js';
import { type FakeSocket } from '../../support/fake-gateway.js';

describe('a chat whose component is unmounted while its conversation is created', () => {
  let harness: ClientHarness;
  let unmount: () => void;
  let socket: FakeSocket;
  let answer: () => void;

  beforeEach(async () => {
    harness = await ClientHarness.start();
    const created = new Promise<ServerResponse>((resolve) => {
      harness.gateway.rest = (_request, response) => resolve(response);
    });
    const chat = new Chat(harness.client, null);
    unmount = chat.subscribe(() => undefined);
    chat.send('Hi');
    socket = await harness.gateway.socket();
    const response = await created;
    answer = () => response.setHeader('content-type', 'application/json').end('{"id":"conv_1"}');
  });
  afterEach(() => harness.close());

  it('leaves its own client closed', async () => {
    unmount();
    harness.client.close();
    const states: string[] = [];
    harness.client.on('state', ({ state }) => states.push(state));
    answer();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(states).toEqual([]);
  });

  it('sends its question over a shared client, and does not follow the conversation', async () => {
    unmount();
    answer();
    expect(await socket.next()).toMatchObject({ type: 'response.create', input: 'Hi', conversation: 'conv_1' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(socket.waiting).toBe(0);
  });
});
