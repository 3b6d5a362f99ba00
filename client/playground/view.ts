/*
 * The frame of the page: header, panes, composer, announcements. Knows no client and no protocol.
 */

import { type ConnectionState } from '../src/api.js';
import { Announcer } from './announcer.js';
import { element } from './dom.js';
import { Pictures } from './pictures.js';
import { type Turn, TurnView } from './turn-view.js';

export interface Actions {
  send(text: string, pictures: readonly string[]): void;
  stop(): void;
  startOver(): void;
}

const THEMES = ['system', 'light', 'dark'] as const;
const THEME_KEY = 'sluice.playground.theme';

export class View {
  readonly announcer = new Announcer(element('announcement'));
  readonly #actions: Actions;
  readonly #log = element('conversation');
  readonly #welcome = element('welcome');
  readonly #connection = element('connection');
  readonly #connectionWords = element('connection-words');
  readonly #model = element('model');
  readonly #modelDefault = this.#model.textContent;
  readonly #composer = element<HTMLFormElement>('composer');
  readonly #message = element<HTMLTextAreaElement>('message');
  readonly #stop = element<HTMLButtonElement>('stop');
  readonly #toEnd = element<HTMLButtonElement>('to-end');

  constructor(actions: Actions) {
    this.#actions = actions;
    this.#composeActions();
    this.#panes();
    this.#theme();
    this.#message.focus();
  }

  addTurn(turn: Turn): TurnView {
    this.#welcome.hidden = true;
    return new TurnView(this.#log, turn, {
      retry: (question, pictures) => this.#actions.send(question, pictures),
    });
  }

  clear(): void {
    this.#log.replaceChildren(this.#welcome);
    this.#welcome.hidden = false;
    this.#model.textContent = this.#modelDefault;
  }

  connection(state: ConnectionState, words: string): void {
    this.#connection.dataset['state'] = state;
    this.#connectionWords.textContent = words;
    this.#connection.title = words;
  }

  /** Shows the stop button while an answer runs. The composer stays free for the next question. */
  running(runs: boolean): void {
    if (!runs && document.activeElement === this.#stop) this.#message.focus();
    this.#stop.hidden = !runs;
  }

  model(words: string): void {
    if (words !== '') this.#model.textContent = words;
  }

  focusMessage(): void {
    this.#message.focus();
  }

  /** Closes the panes, which cover the conversation on a narrow screen. */
  closePanes(): void {
    if (matchMedia('(max-width: 60rem)').matches) document.body.classList.remove('with-history');
  }

  #composeActions(): void {
    const pictures: Pictures = new Pictures(this.#composer, () => (this.#message.required = pictures.empty));
    this.#composer.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = this.#message.value.trim();
      if (text === '' && pictures.empty) return;
      this.#message.value = '';
      this.#actions.send(text, pictures.takeAll());
    });
    this.#message.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#composer.requestSubmit();
    });
    this.#stop.addEventListener('click', () => this.#actions.stop());
    element('new-conversation').addEventListener('click', () => {
      this.closePanes();
      this.#actions.startOver();
      this.#message.focus();
    });
    element('suggestions').addEventListener('click', (event) => {
      if (!(event.target instanceof HTMLButtonElement)) return;
      this.#actions.send(event.target.textContent, []);
      this.#message.focus();
    });
    this.#log.addEventListener('scroll', () => {
      this.#toEnd.hidden = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 200;
    });
    this.#toEnd.addEventListener('click', () => (this.#log.scrollTop = this.#log.scrollHeight));
  }

  #panes(): void {
    const inspector = element('inspector');
    const inspectorToggle = element('inspector-toggle');
    const historyToggle = element('history-toggle');
    const wide = matchMedia('(min-width: 76rem)').matches;
    const show = (open: boolean): void => {
      inspector.hidden = !open;
      if (open) element('frames').scrollTop = element('frames').scrollHeight;
      inspectorToggle.ariaExpanded = String(open);
    };
    show(wide);
    const showHistory = (open: boolean): void => {
      document.body.classList.toggle('with-history', open);
      historyToggle.ariaExpanded = String(open);
    };
    showHistory(matchMedia('(min-width: 60rem)').matches);
    inspectorToggle.addEventListener('click', () => show(inspector.hidden !== false));
    element('inspector-close').addEventListener('click', () => {
      show(false);
      inspectorToggle.focus();
    });
    historyToggle.addEventListener('click', () => showHistory(!document.body.classList.contains('with-history')));
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      const narrow = matchMedia('(max-width: 60rem)').matches;
      if (narrow && !inspector.hidden) show(false);
      else if (narrow && document.body.classList.contains('with-history')) showHistory(false);
      else if (!this.#stop.hidden) this.#actions.stop();
    });
  }

  #theme(): void {
    const button = element('theme');
    const words = element('theme-words');
    let at = Math.max(
      0,
      THEMES.findIndex((theme) => theme === kept()),
    );
    const use = (): void => {
      const theme = THEMES[at] ?? 'system';
      document.documentElement.dataset['theme'] = theme;
      words.textContent = `Colours: ${theme === 'system' ? 'as the system' : theme}`;
      button.title = words.textContent;
    };
    use();
    button.addEventListener('click', () => {
      at = (at + 1) % THEMES.length;
      use();
      try {
        localStorage.setItem(THEME_KEY, THEMES[at] ?? 'system');
      } catch {
        // Storage is forbidden: the theme lasts until the page is left.
      }
    });
  }
}

function kept(): string | null {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null;
  }
}
