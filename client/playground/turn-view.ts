/* One question and its answer on the page. Knows no client and no protocol. */

import { add, copies } from './dom.js';
import { picture } from './pictures.js';
import { MarkdownView } from './markdown.js';
import { type Note } from './words.js';

/** The shown data of a turn. */
export interface Turn {
  question: string;
  /** URLs of the images of the question. */
  pictures: readonly string[];
  text: string;
  refusal: string;
  /** Functions that the model called, and what they returned, one line each. */
  calls: readonly string[];
  note: Note | null;
  numbers: string;
  ended: boolean;
}

export function newTurn(question: string, more: Partial<Turn> = {}): Turn {
  return { question, pictures: [], text: '', refusal: '', calls: [], note: null, numbers: '', ended: false, ...more };
}

export interface TurnActions {
  retry(question: string, pictures: readonly string[]): void;
}

export class TurnView {
  readonly #log: HTMLElement;
  readonly #answer: HTMLElement;
  readonly #markdown: MarkdownView;
  readonly #below: HTMLElement;
  readonly #actions: TurnActions;
  readonly turn: Turn;
  #drawing = 0;

  constructor(log: HTMLElement, turn: Turn, actions: TurnActions) {
    this.#log = log;
    this.turn = turn;
    this.#actions = actions;
    const article = add(log, 'article', 'turn');
    article.ariaLabel = 'Question and answer';
    if (turn.question !== '') add(article, 'p', 'question', turn.question);
    if (turn.pictures.length > 0) {
      const row = add(article, 'div', 'pictures question');
      turn.pictures.forEach((url, index) => picture(row, url, `Image ${index + 1}`));
    }
    this.#answer = add(article, 'div', 'answer');
    this.#markdown = new MarkdownView(add(this.#answer, 'div', 'text'));
    this.#below = add(this.#answer, 'div', 'below');
    this.draw();
  }

  /** Draws with the next frame of the screen, however fast the text comes. */
  grow(): void {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#keepingTheEndInSight(() => this.#markdown.show(this.turn.text));
    });
  }

  /** Draws the whole turn now. */
  draw(): void {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
    const { text, refusal, calls, note, numbers, ended } = this.turn;
    this.#keepingTheEndInSight(() => {
      this.#answer.ariaBusy = String(!ended);
      this.#markdown.show(text);
      this.#below.replaceChildren();
      for (const call of calls) add(this.#below, 'pre', 'call', call).tabIndex = 0;
      if (refusal !== '') add(this.#below, 'p', 'refusal', refusal);
      if (note !== null) add(this.#below, 'p', 'note', note.words).dataset['kind'] = note.kind;
      if (ended) this.#foot(numbers);
    });
  }

  scrollTo(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #foot(numbers: string): void {
    const { question, pictures, text, refusal } = this.turn;
    const foot = add(this.#below, 'div', 'foot');
    if (numbers !== '') add(foot, 'span', 'fine numbers', numbers);
    if (text + refusal !== '') copies(add(foot, 'button', 'link', 'Copy'), () => text || refusal);
    if (question !== '' || pictures.length > 0) {
      const retry = add(foot, 'button', 'link', 'Retry');
      retry.addEventListener('click', () => this.#actions.retry(question, pictures));
    }
    for (const button of foot.querySelectorAll('button')) button.type = 'button';
  }

  /** Scrolls down with the text, unless the reader has scrolled up. */
  #keepingTheEndInSight(draw: () => void): void {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
    draw();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}
