/* Viewers on the project's own browser client, as it is shipped, over Node's WebSocket. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type ClientOptions,
  type Sluice,
  type SluiceErrorShape,
  type SluiceResponse,
  type WireEvent,
} from '../../client/src/api.js';
import { slowness } from '../support/machine.js';
import { type Truth, View } from './truth.js';

const SLOWNESS = slowness();

// The built client has the types of its sources.
const { createClient } = (await import(
  pathToFileURL(resolve(process.env['SLUICE_DIST'] ?? 'dist', 'client/client.js')).href
)) as { readonly createClient: (options: ClientOptions) => Sluice };

export interface Question {
  readonly deltas: number;
  readonly intervalMs: number;
  readonly conversation?: string | undefined;
}

/**
 * What a subscription has shown of its conversation, as turns or, if they ended while the device
 * was away, as items.
 */
export interface Shown {
  readonly conversation: string;
  /** Ids of responses. */
  readonly responses: ReadonlySet<string>;
  /** Resolves when the items that the conversation held were shown. */
  readonly caughtUp: Promise<void>;
  close(): void;
}

export function inputOf({ deltas, intervalMs }: Question): string {
  return `demo: deltas=${deltas} interval=${intervalMs}ms text=numbers`;
}

export class OwnViewer {
  readonly #client: Sluice;
  readonly #views = new Map<SluiceResponse, View>();

  constructor(
    readonly truth: Truth,
    url: string,
  ) {
    this.#client = createClient({
      url,
      reconnect: { firstDelayMs: 50, maxDelayMs: 1_000 },
      connectTimeoutMs: 3_000 * SLOWNESS,
      ping: { busyAfterMs: 1_500, idleAfterMs: 5_000, timeoutMs: 2_000 * SLOWNESS },
    });
    const watched = new WatchedOnSocket(truth);
    this.#client.on('frame', ({ direction, data }) => {
      if (direction === 'in') watched.take(data);
      if (direction === 'out' || data.type !== 'sluice:snapshot') return;
      for (const [{ id }, view] of this.#views) {
        // The client ignores a snapshot without new content.
        const number = data.sequence_number ?? -1;
        if (id !== null && id === data.response_id && number > view.last) view.skip(id, number);
      }
    });
  }

  ask(question: Question): View {
    const { deltas, conversation } = question;
    const view = new View(this.truth, 'own', { deltas, conversation });
    const options = conversation === undefined ? {} : { conversation };
    this.#follow(view, this.#client.send(inputOf(question), options));
    return view;
  }

  /**
   * As another device, from after event `after`, as if it had seen what came before. Undefined:
   * this client follows it already.
   */
  watch(id: string, after: number): View | undefined {
    for (const response of this.#views.keys()) if (response.id === id) return undefined;
    const view = new View(this.truth, 'own resumed', { after });
    view.id = id;
    this.#follow(view, this.#client.resume({ id, after }));
    return view;
  }

  /**
   * Shows a conversation, as another device of the user does, until the returned function is
   * called.
   */
  subscribe(conversation: string): Shown {
    const shown = new Set<string>();
    const caughtUp = Promise.withResolvers<void>();
    const subscription = this.#client.subscribe(conversation);
    subscription.on('event', (event) => {
      if (event.type === 'caught_up') caughtUp.resolve();
      else if (event.type === 'item') shown.add(event.item.sluice.response_id ?? '');
      else {
        const { id } = event.response;
        if (id === null) return;
        shown.add(id);
        // A response of an earlier subscription is followed already.
        if (this.#views.has(event.response)) return;
        const view = new View(this.truth, 'own subscribed', { after: -1 });
        view.id = id;
        this.#follow(view, event.response);
      }
    });
    subscription.on('end', (error) => {
      if (error !== null) this.truth.violations.push(`subscription of ${conversation} ended: ${error.code}`);
    });
    return { conversation, responses: shown, caughtUp: caughtUp.promise, close: () => subscription.close() };
  }

  /** Responses whose end it has not seen yet. */
  get following(): number {
    return this.#views.size;
  }

  close(): void {
    this.#client.close();
  }

  #follow(view: View, response: SluiceResponse): void {
    this.#views.set(response, view);
    response.on('event', (event) => view.hear(event));
    response.on('end', ({ response: ended, error }) => {
      this.#views.delete(response);
      if (error !== null) reportError(view, error);
      else if (view.asked.after === undefined && response.text !== ended?.output_text)
        this.truth.violations.push(`own ${view.id}: shows another text than the end says`);
    });
  }
}

/**
 * Whether announcements arrive only between the answers to a subscribe and to an unsubscribe, on
 * each socket.
 */
class WatchedOnSocket {
  readonly #truth: Truth;
  readonly #conversations = new Set<unknown>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  take(event: WireEvent): void {
    const { type, conversation } = event as WireEvent & { readonly conversation?: unknown };
    if (type === 'sluice:hello') this.#conversations.clear();
    else if (type === 'sluice:subscribed') this.#conversations.add(conversation);
    else if (type === 'sluice:unsubscribed') this.#conversations.delete(conversation);
    else if (type === 'sluice:turn' && !this.#conversations.has(conversation))
      this.#truth.violations.push(`a turn of ${String(conversation)} was announced after the unsubscribe`);
  }
}

function reportError(view: View, { kind, code }: SluiceErrorShape): void {
  if (kind === 'refused') view.refuse(code);
  else view.lose(code);
}
