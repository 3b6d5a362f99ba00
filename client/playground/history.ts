/* The list of conversations: drawn here, changed by the page that owns it. Knows no client. */

import { type ConversationObject } from '../src/api.js';
import { add, element } from './dom.js';
import { agoWords } from './words.js';

export interface HistoryActions {
  open(id: string): void;
  rename(id: string, title: string): void;
  remove(id: string): void;
}

const PENCIL = 'M13.5 3.5 16.5 6.5 7 16H4v-3z';
const BIN = 'M4 6h12M8 6V4h4v2M6 6l1 10h6l1-10';

export class HistoryView {
  readonly #list = element('conversations');
  readonly #empty = element('history-empty');
  readonly #actions: HistoryActions;

  constructor(actions: HistoryActions) {
    this.#actions = actions;
  }

  show(conversations: readonly ConversationObject[], current: string | null): void {
    const focused = document.activeElement?.closest('li')?.dataset['id'];
    // Drawing now would remove the input of a title that is being edited.
    if (this.#list.querySelector('input') !== null) return;
    this.#empty.hidden = conversations.length > 0;
    this.#list.replaceChildren();
    for (const conversation of conversations) this.#row(conversation, conversation.id === current);
    if (focused !== undefined) this.#list.querySelector<HTMLElement>(`li[data-id="${focused}"] button`)?.focus();
  }

  #row({ id, sluice }: ConversationObject, isCurrent: boolean): void {
    const title = sluice.title ?? 'Nothing asked yet';
    const row = add(this.#list, 'li');
    row.dataset['id'] = id;
    const open = add(row, 'button', 'open');
    open.type = 'button';
    if (isCurrent) open.ariaCurrent = 'page';
    add(open, 'span', 'title', title);
    add(open, 'span', 'fine', agoWords(sluice.updated_at * 1_000, Date.now()));
    open.addEventListener('click', () => this.#actions.open(id));
    if (!isCurrent) return;
    this.#tool(row, `Rename “${title}”`, PENCIL).addEventListener('click', () => this.#rename(row, id, title));
    this.#tool(row, `Delete “${title}”`, BIN).addEventListener('click', () => {
      if (confirm(`Delete “${title}” and everything in it?`)) this.#actions.remove(id);
    });
  }

  #tool(row: HTMLElement, label: string, path: string): HTMLButtonElement {
    const button = add(row, 'button', 'icon');
    button.type = 'button';
    button.ariaLabel = label;
    button.title = label;
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', '0 0 20 20');
    svg.setAttribute('aria-hidden', 'true');
    const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    shape.setAttribute('d', path);
    svg.append(shape);
    button.append(svg);
    return button;
  }

  #rename(row: HTMLElement, id: string, title: string): void {
    row.replaceChildren();
    const input = add(row, 'input');
    input.value = title;
    input.ariaLabel = 'Title';
    input.maxLength = 120;
    input.select();
    input.focus();
    let isDone = false;
    const done = (keep: boolean): void => {
      // Removing the input also emits `blur`, which would finish a second time.
      if (isDone) return;
      isDone = true;
      const value = input.value.trim();
      input.remove();
      this.#actions.rename(id, keep && value !== '' ? value : title);
    };
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') done(true);
      if (event.key === 'Escape') done(false);
      event.stopPropagation();
    });
    input.addEventListener('blur', () => done(true));
  }
}
