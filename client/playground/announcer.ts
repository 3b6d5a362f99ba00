/*
 * What a screen reader announces of a streamed answer: each paragraph once it is complete, then how
 * it ended. Word by word would drown everything else; all at the end would leave its reader
 * waiting.
 */

import { add } from './dom.js';

const KEPT = 20;

export class Announcer {
  readonly #region: HTMLElement;
  #announced = 0;

  constructor(region: HTMLElement) {
    this.#region = region;
  }

  begin(): void {
    this.#announced = 0;
  }

  /** The answer so far. */
  grow(text: string): void {
    const end = text.lastIndexOf('\n\n');
    if (end <= this.#announced) return;
    this.announce(text.slice(this.#announced, end));
    this.#announced = end;
  }

  end(text: string, note: string): void {
    this.announce(text.slice(this.#announced));
    this.announce(note);
    this.begin();
  }

  announce(words: string): void {
    const plain = words.replace(/[*_`#>|~]+/g, '').trim();
    if (plain === '') return;
    add(this.#region, 'p', '', plain);
    while (this.#region.childElementCount > KEPT) this.#region.firstElementChild?.remove();
  }
}
