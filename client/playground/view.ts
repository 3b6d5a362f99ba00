/* The page's elements: what is drawn, and what a person does. Knows no client and no protocol. */

import { type ConnectionState } from '../src/api.js';
import { type RememberedTurn } from './memory.js';
import { type Note } from './words.js';

export interface Actions {
  send(text: string): void;
  stop(): void;
  startOver(): void;
  useToken(token: string): void;
}

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  // index.html and this file are written together.
  return found as T;
}

function add(parent: HTMLElement, tag: string, className: string, text = ''): HTMLElement {
  const child = document.createElement(tag);
  child.className = className;
  child.textContent = text;
  parent.append(child);
  return child;
}

/** One question and its answer on the page. */
export class TurnView {
  readonly #answer: HTMLElement;
  readonly #text: HTMLElement;
  readonly #log: HTMLElement;

  constructor(log: HTMLElement, turn: RememberedTurn) {
    this.#log = log;
    const article = add(log, 'article', 'turn');
    article.ariaLabel = 'Question and answer';
    add(article, 'p', 'question', turn.question);
    this.#answer = add(article, 'div', 'answer');
    this.#text = add(this.#answer, 'div', 'text');
    article.scrollIntoView({ block: 'end' });
    this.show(turn);
  }

  append(delta: string): void {
    this.#keepingTheEndInSight(() => this.#text.append(delta));
  }

  /** Draws the whole answer as it stands. */
  show(turn: RememberedTurn): void {
    this.#keepingTheEndInSight(() => {
      this.#answer.ariaBusy = String(!turn.ended);
      this.#text.textContent = turn.text;
      this.#answer.replaceChildren(this.#text);
      if (turn.refusal !== '') add(this.#answer, 'p', 'refusal', turn.refusal);
      if (turn.note !== null) this.note(turn.note);
      if (turn.numbers !== '') add(this.#answer, 'p', 'fine', turn.numbers);
    });
  }

  note({ kind, words }: Note): void {
    add(this.#answer, 'p', 'note', words).dataset['kind'] = kind;
  }

  /** Follows the text down, but leaves a reader who scrolled up where they are. */
  #keepingTheEndInSight(draw: () => void): void {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
    draw();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}

export class View {
  readonly #log = element('conversation');
  readonly #welcome = element('welcome');
  readonly #connection = element('connection');
  readonly #connectionWords = element('connection-words');
  readonly #announcement = element('announcement');
  readonly #model = element('model');
  readonly #composer = element<HTMLFormElement>('composer');
  readonly #message = element<HTMLTextAreaElement>('message');
  readonly #stop = element<HTMLButtonElement>('stop');
  readonly #tokenForm = element<HTMLFormElement>('token-form');
  readonly #tokenReason = element('token-reason');
  readonly #token = element<HTMLInputElement>('token');

  constructor(actions: Actions) {
    this.#composer.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = this.#message.value.trim();
      if (text === '') return;
      this.#message.value = '';
      actions.send(text);
    });
    this.#message.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#composer.requestSubmit();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !this.#stop.hidden) actions.stop();
    });
    this.#stop.addEventListener('click', () => actions.stop());
    element('new-conversation').addEventListener('click', () => {
      actions.startOver();
      this.#message.focus();
    });
    this.#tokenForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#tokenForm.hidden = true;
      actions.useToken(this.#token.value.trim());
      this.#token.value = '';
      this.#message.focus();
    });
    this.#message.focus();
  }

  addTurn(turn: RememberedTurn): TurnView {
    this.#welcome.hidden = true;
    return new TurnView(this.#log, turn);
  }

  clear(): void {
    this.#log.replaceChildren(this.#welcome);
    this.#welcome.hidden = false;
  }

  connection(state: ConnectionState, words: string): void {
    this.#connection.dataset['state'] = state;
    this.#connectionWords.textContent = words;
    this.#connection.title = words;
  }

  /** While an answer runs it can be stopped; the composer stays free for the next question. */
  running(runs: boolean): void {
    if (!runs && document.activeElement === this.#stop) this.#message.focus();
    this.#stop.hidden = !runs;
  }

  askForToken(reason: string): void {
    this.#tokenReason.textContent = reason;
    this.#tokenForm.hidden = false;
    this.#token.focus();
  }

  model(words: string): void {
    if (words !== '') this.#model.textContent = words;
  }

  /** Tells a screen reader what others see at a glance; streamed text itself would drown it. */
  announce(words: string): void {
    this.#announcement.textContent = words;
  }
}
