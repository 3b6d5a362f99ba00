/*
 * Announces a streamed answer to screen readers: each complete paragraph, then the end. Single
 * words would interrupt everything else, and one text at the end would come late.
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

  /** @param text the received text of the answer */
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
