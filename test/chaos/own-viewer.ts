/* Viewers on the project's own browser client, as it is shipped, over Node's WebSocket. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ClientOptions, type Sluice, type SluiceErrorShape, type SluiceResponse } from '../../client/src/api.js';
import { type Truth, View } from './truth.js';

// The built client has the types of its sources.
const { createClient } = (await import(
  pathToFileURL(resolve(process.env['SLUICE_DIST'] ?? 'dist', 'client/client.js')).href
)) as { readonly createClient: (options: ClientOptions) => Sluice };

export interface Question {
  readonly deltas: number;
  readonly intervalMs: number;
  readonly conversation?: string | undefined;
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
      connectTimeoutMs: 3_000,
      ping: { busyAfterMs: 1_500, idleAfterMs: 5_000, timeoutMs: 2_000 },
    });
    this.#client.on('frame', ({ direction, data }) => {
      if (direction === 'out' || data.type !== 'sluice:snapshot') return;
      for (const view of this.#views.values()) {
        // The client itself passes over a snapshot that says nothing new.
        const number = data.sequence_number ?? -1;
        if (view.id === data.response_id && number > view.last) view.skip(number);
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

  /** As another device, from after event `after`, as if it had seen what came before. Undefined: this client follows it already. */
  watch(id: string, after: number): View | undefined {
    for (const response of this.#views.keys()) if (response.id === id) return undefined;
    const view = new View(this.truth, 'own resumed', { after });
    view.id = id;
    this.#follow(view, this.#client.resume({ id, after }));
    return view;
  }

  /** As a device that shows a conversation; the responses that it was told of, whether as turns or, where it was away, as items. */
  subscribe(conversation: string): ReadonlySet<string> {
    const told = new Set<string>();
    const subscription = this.#client.subscribe(conversation);
    subscription.on('event', (event) => {
      if (event.type === 'item') told.add(event.item.sluice.response_id ?? '');
      else if (event.type === 'turn') {
        const view = new View(this.truth, 'own subscribed', { after: -1 });
        const { id } = event.response;
        if (id === null) return;
        view.id = id;
        told.add(id);
        this.#follow(view, event.response);
      }
    });
    subscription.on('end', (error) => {
      if (error !== null) this.truth.violations.push(`subscription of ${conversation} ended: ${error.code}`);
    });
    return told;
  }

  close(): void {
    this.#client.close();
  }

  #follow(view: View, response: SluiceResponse): void {
    this.#views.set(response, view);
    response.on('event', (event) => view.hear(event));
    response.on('end', ({ response: ended, error }) => {
      this.#views.delete(response);
      if (error !== null) tellError(view, error);
      else if (view.asked.after === undefined && response.text !== ended?.output_text)
        this.truth.violations.push(`own ${view.id}: shows another text than the end says`);
    });
  }
}

function tellError(view: View, { kind, code }: SluiceErrorShape): void {
  if (kind === 'refused') view.refuse(code);
  else view.lose(code);
}
