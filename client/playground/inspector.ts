/*
 * The inspector: every frame as it was sent or received, with an explanation. Consecutive deltas
 * share a line, so that the list stays short.
 */

import { type Frame } from '../src/api.js';
import { add, copies, element } from './dom.js';
import { summaryOf, meaningOf } from './frame-words.js';

const ROWS = 400;
const FRAMES = 5_000;
/** Deltas of one line that are listed when it is opened. */
const LISTED = 40;

interface Entry extends Frame {
  readonly atMs: number;
}

/** One line: a frame, or consecutive deltas of one lane. */
class Row {
  readonly entries: Entry[] = [];
  readonly item: HTMLLIElement;
  readonly #gist: HTMLElement;
  readonly #count: HTMLElement;
  readonly #number: HTMLElement;
  readonly #body: HTMLElement;
  readonly #details: HTMLDetailsElement;
  #rowDetails: RowDetails | null = null;

  constructor(list: HTMLElement, entry: Entry, startMs: number) {
    const { direction, data } = entry;
    this.item = add(list, 'li', direction);
    this.#details = add(this.item, 'details');
    const summary = add(this.#details, 'summary');
    add(summary, 'b', direction, direction === 'out' ? '→' : '←').ariaLabel = direction === 'out' ? 'sent' : 'received';
    const [family, name] = split(data.type);
    const type = add(summary, 'code', 'type');
    add(type, 'span', 'family', family);
    type.append(name);
    this.#count = add(summary, 'span', 'count');
    this.#gist = add(summary, 'span', 'gist');
    this.#number = add(summary, 'span', 'number');
    add(summary, 'time', '', `${((entry.atMs - startMs) / 1_000).toFixed(2)} s`);
    this.#body = add(this.#details, 'div', 'body');
    this.#details.addEventListener('toggle', () => {
      this.#drawBody();
      // Wait until the details below are drawn.
      if (this.#details.open) requestAnimationFrame(() => this.item.scrollIntoView({ block: 'nearest' }));
    });
    this.push(entry);
  }

  /** Whether this frame belongs on this line. */
  takes({ direction, data }: Entry): boolean {
    const first = this.entries[0];
    return (
      data.type.endsWith('.delta') &&
      first?.data.type === data.type &&
      first.direction === direction &&
      first.data.stream_id === data.stream_id
    );
  }

  push(entry: Entry): void {
    this.entries.push(entry);
    const count = this.entries.length;
    const { data } = entry;
    this.#count.textContent = count > 1 ? `× ${count}` : '';
    const tail = this.entries.slice(-12).map((each) => each.data.delta ?? '');
    this.#gist.textContent = count > 1 ? `…${tail.join('').slice(-18)}` : summaryOf(data);
    const first = this.entries[0]?.data.sequence_number;
    const last = data.sequence_number;
    this.#number.textContent = last === undefined ? '' : first === last ? `#${last}` : `#${first}–${last}`;
    if (this.#details.open) this.#drawBody();
  }

  matches(filter: string, direction: string): boolean {
    if (direction !== '' && this.entries[0]?.direction !== direction) return false;
    return filter === '' || this.entries.some(({ data }) => JSON.stringify(data).toLowerCase().includes(filter));
  }

  /**
   * Draws the details below an open line. They are created once, so that a reader's selection
   * stays.
   */
  #drawBody(): void {
    if (!this.#details.open) return;
    this.#rowDetails ??= new RowDetails(this.#body, this.entries[0]?.data.type ?? '');
    this.#rowDetails.show(this.entries);
  }
}

class RowDetails {
  readonly #newest: HTMLElement;
  readonly #words: HTMLElement;
  readonly #before: HTMLElement;
  #entries: readonly Entry[] = [];
  #drawing = 0;

  constructor(body: HTMLElement, type: string) {
    add(body, 'p', '', meaningOf(type));
    this.#newest = add(body, 'pre');
    this.#words = add(body, 'p', 'fine');
    this.#before = add(body, 'pre', 'short');
    for (const pre of [this.#newest, this.#before]) pre.tabIndex = 0;
  }

  show(entries: readonly Entry[]): void {
    this.#entries = entries;
    if (this.#drawing === 0) this.#drawing = requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    this.#drawing = 0;
    const entries = this.#entries;
    const before = entries.slice(-LISTED, -1).reverse();
    this.#newest.textContent = JSON.stringify(entries.at(-1)?.data, null, 2);
    this.#words.textContent = `The newest of ${entries.length}. Those before it:`;
    this.#before.textContent = before
      .map(({ data }) => `#${data.sequence_number}  ${JSON.stringify(data.delta)}`)
      .join('\n');
    this.#words.hidden = this.#before.hidden = before.length === 0;
  }
}

export class Inspector {
  readonly #list = element('frames');
  readonly #count = element('frame-count');
  readonly #filter = element<HTMLInputElement>('frames-filter');
  readonly #direction = element<HTMLSelectElement>('frames-direction');
  readonly #pause = element<HTMLButtonElement>('frames-pause');
  readonly #startMs = performance.now();
  #rows: Row[] = [];
  #held: Entry[] = [];
  #total = 0;
  #paused = false;

  constructor() {
    this.#filter.addEventListener('input', () => this.#applyFilter(this.#rows));
    this.#direction.addEventListener('change', () => this.#applyFilter(this.#rows));
    this.#pause.addEventListener('click', () => this.#togglePause());
    copies(element<HTMLButtonElement>('frames-copy'), () => this.#text());
    element('frames-clear').addEventListener('click', () => this.clear());
    this.#showCount();
  }

  frame(frame: Frame): void {
    const entry = { ...frame, atMs: performance.now() };
    this.#total++;
    if (this.#paused) {
      this.#held.push(entry);
      this.#held.splice(0, this.#held.length - FRAMES);
    } else this.#add(entry);
    this.#showCount();
  }

  #add(entry: Entry): void {
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    let row = this.#rows.at(-1);
    if (row !== undefined && row.entries.length < FRAMES && row.takes(entry)) row.push(entry);
    else {
      row = new Row(list, entry, this.#startMs);
      this.#rows.push(row);
      for (const old of this.#rows.splice(0, this.#rows.length - ROWS)) old.item.remove();
    }
    this.#applyFilter([row]);
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #applyFilter(rows: readonly Row[]): void {
    const filter = this.#filter.value.trim().toLowerCase();
    for (const row of rows) row.item.hidden = !row.matches(filter, this.#direction.value);
  }

  #togglePause(): void {
    this.#paused = !this.#paused;
    this.#pause.ariaPressed = String(this.#paused);
    this.#pause.textContent = this.#paused ? 'Resume' : 'Pause';
    for (const entry of this.#held.splice(0)) this.#add(entry);
    this.#showCount();
  }

  clear(): void {
    this.#rows = [];
    this.#held = [];
    this.#total = 0;
    this.#list.replaceChildren();
    this.#showCount();
  }

  #showCount(): void {
    const waiting = this.#held.length === 0 ? '' : `, ${this.#held.length} waiting`;
    this.#count.textContent = `${this.#total}${waiting}`;
  }

  /** Returns the shown frames as JSON lines. */
  #text(): string {
    return this.#rows
      .filter(({ item }) => !item.hidden)
      .flatMap(({ entries }) => entries.map(({ direction, data }) => JSON.stringify({ direction, ...data })))
      .join('\n');
  }
}

function split(type: string): [string, string] {
  const at = Math.max(type.indexOf(':'), type.indexOf('.')) + 1;
  return [type.slice(0, at), type.slice(at)];
}
