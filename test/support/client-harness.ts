/*
 * Base of the browser client's tests: a client of a scripted gateway, where the test sends the
 * network and tab events.
 */

import { type ClientOptions, type SluiceResponse, type StateChange } from '../../client/src/api.js';
import { browserEnvironment, type Environment, type PageNews } from '../../client/src/environment.js';
import { SluiceClient } from '../../client/src/sluice-client.js';
import { FakeGateway, type FakeSocket, Script } from './fake-gateway.js';

/** Resolves when the client's connection gets into a state that passes `test`. */
export function until(client: SluiceClient, test: (change: StateChange) => boolean): Promise<StateChange> {
  return new Promise((resolve) => {
    const forget = client.on('state', (change) => {
      if (!test(change)) return;
      forget();
      resolve(change);
    });
  });
}

export async function textOf(response: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const delta of response) text += delta;
  return text;
}

export interface Running {
  readonly response: SluiceResponse;
  readonly socket: FakeSocket;
  readonly script: Script;
}

export class ClientHarness {
  client: SluiceClient;
  online = true;
  /** Notifies the client that network or tab changed. */
  news: (news: PageNews) => void = () => undefined;
  readonly #environment: Environment = {
    ...browserEnvironment(),
    isOnline: () => this.online,
    onNews: (handler) => {
      this.news = handler;
      return () => undefined;
    },
    random: () => 0.5,
  };

  private constructor(readonly gateway: FakeGateway) {
    this.client = this.connect();
  }

  static async start(): Promise<ClientHarness> {
    return new ClientHarness(await FakeGateway.start());
  }

  /** A new client, quick to reconnect by default. */
  connect(options: ClientOptions = {}): SluiceClient {
    const quick = { url: this.gateway.url, reconnect: { firstDelayMs: 4, maxDelayMs: 8 } };
    return (this.client = new SluiceClient({ ...quick, ...options }, this.#environment));
  }

  /** A response that has been created and has said `text`. */
  async running(text = 'Hel'): Promise<Running> {
    const response = this.client.send('Hi');
    const socket = await this.gateway.socket();
    const script = new Script('resp_1', (await socket.next())['stream_id']);
    const arrived = new Promise<void>((resolve) => response.on('delta', () => resolve()));
    socket.send(script.created(), script.delta(text));
    await arrived;
    return { response, socket, script };
  }

  async close(): Promise<void> {
    this.client.close();
    await this.gateway.close();
  }
}
