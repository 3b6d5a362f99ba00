/* The list of the user's conversations, newest first. Loaded again when it may have changed. */

import { type ConversationObject, type Sluice } from '../src/client.js';
import { HistoryView } from './history.js';

export interface HistoryOwner {
  open(id: string): void;
  removed(id: string): void;
}

const RELOAD_DELAY_MS = 150;
const SHOWN = 50;

export class History {
  readonly #sluice: Sluice;
  readonly #view: HistoryView;
  #list: readonly ConversationObject[] = [];
  #current: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(sluice: Sluice, owner: HistoryOwner) {
    this.#sluice = sluice;
    this.#view = new HistoryView({
      open: (id) => owner.open(id),
      rename: (id, title) => {
        if (this.#list.find((each) => each.id === id)?.sluice.title === title) this.#draw();
        else this.#change(sluice.conversations.rename(id, title));
      },
      remove: (id) => this.#change(sluice.conversations.delete(id).then(() => owner.removed(id))),
    });
  }

  set current(id: string | null) {
    this.#current = id;
    this.#draw();
  }

  /** Empties the list, before another user's is loaded. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#list = [];
    this.#draw();
  }

  refresh(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sluice.conversations.list({ limit: SHOWN }).then(
        ({ data }) => {
          this.#list = data;
          this.#draw();
        },
        // The next connection, question or answer loads it again.
        () => undefined,
      );
    }, RELOAD_DELAY_MS);
  }

  #change(work: Promise<unknown>): void {
    work.catch(() => undefined).finally(() => this.refresh());
  }

  #draw(): void {
    const title = this.#list.find(({ id }) => id === this.#current)?.sluice.title;
    document.title = title === undefined || title === null ? 'Sluice playground' : `${title} · Sluice`;
    this.#view.show(this.#list, this.#current);
  }
}
