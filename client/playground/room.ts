/*
 * The open conversation: its items and turns, drawn as they arrive. Questions of this page, another
 * tab or another device all come from the subscription.
 */

import {
  type ConversationEvent,
  type ConversationItem,
  type Input,
  type ResponseObject,
  type Sluice,
  type SluiceErrorShape,
  type SluiceResponse,
  type Subscription,
} from '../src/client.js';
import { type Memory, type PendingQuestion } from './memory.js';
import { newTurn, type TurnView } from './turn-view.js';
import { type View } from './view.js';
import { callWords, endNote, errorNote, modelWords, numbersLine } from './words.js';

export interface RoomOwner {
  /** Called when a turn has started or ended: titles and order of the list may have changed. */
  changed(): void;
  /**
   * Called when the gateway no longer knows this conversation. A pending question has no answer
   * then.
   */
  gone(pending: { readonly question: PendingQuestion; readonly shown: TurnView } | null): void;
}

/** Number of past answers whose figures are loaded. */
const NUMBERED = 20;

export class Room {
  readonly id: string;
  readonly #sluice: Sluice;
  readonly #view: View;
  readonly #memory: Memory;
  readonly #owner: RoomOwner;
  readonly #subscription: Subscription;
  readonly #live = new Map<SluiceResponse, TurnView>();
  #past: { readonly view: TurnView; readonly responseId: string | null }[] = [];
  #numbered = false;
  /** The question that this page is sending. Its turn is shown at once. */
  #pending: { readonly question: PendingQuestion; readonly shown: TurnView } | null = null;
  #open = true;

  constructor(id: string, parts: { sluice: Sluice; view: View; memory: Memory; owner: RoomOwner }) {
    this.id = id;
    this.#sluice = parts.sluice;
    this.#view = parts.view;
    this.#memory = parts.memory;
    this.#owner = parts.owner;
    this.#subscription = parts.sluice.subscribe(id);
    this.#subscription.on('event', (event) => this.#onEvent(event));
    this.#subscription.on('end', (error) => {
      if (error?.code === 'conversation_not_found') this.#owner.gone(null);
    });
  }

  send(question: PendingQuestion, shown: TurnView): void {
    this.#memory.pending = [...this.#memory.pending.filter(({ key }) => key !== question.key), question];
    this.#pending = { question, shown };
    this.#sluice.send(inputOf(question), {
      conversation: this.id,
      idempotencyKey: question.key,
      ...(question.prompt === null ? {} : { prompt: question.prompt }),
    });
    this.#pending = null;
  }

  stop(): void {
    for (const response of this.#live.keys()) response.cancel();
  }

  /** Stops drawing. Running answers continue without a viewer. */
  close(): void {
    this.#open = false;
    this.#subscription.close();
  }

  #onEvent(event: ConversationEvent): void {
    if (!this.#open) return;
    if (event.type === 'item') this.#item(event.item);
    else if (event.type === 'turn') this.#turn(event.response, event.input);
    else void this.#number();
  }

  #item(item: ConversationItem): void {
    const { response_id: responseId } = item.sluice;
    const latest = this.#past.at(-1);
    const call = callWords(item);
    if (item.role !== 'assistant' && call === null) {
      const view = this.#view.addTurn(newTurn(textOf(item), { pictures: picturesOf(item), ended: true }));
      this.#past.push({ view, responseId });
      return;
    }
    const same = latest !== undefined && latest.responseId === responseId;
    const view = same ? latest.view : this.#view.addTurn(newTurn('', { ended: true }));
    if (!same) this.#past.push({ view, responseId });
    const { turn } = view;
    if (call !== null) turn.calls = [...turn.calls, call];
    turn.text += textOf(item);
    turn.refusal += refusalOf(item);
    view.draw();
  }

  /** Loads the figures of past answers. */
  async #number(): Promise<void> {
    this.#past.at(-1)?.view.scrollTo();
    if (this.#numbered) return;
    this.#numbered = true;
    const recent = this.#past.slice(-NUMBERED).filter(({ responseId }) => responseId !== null);
    for (const { view, responseId } of recent.reverse()) {
      try {
        const response = await this.#sluice.request<ResponseObject>('GET', `/v1/responses/${responseId}`);
        view.turn.note = endNote(response);
        view.turn.numbers = this.#numbersOf(response);
        this.#view.model(modelWords(response));
        if (this.#open) view.draw();
      } catch {
        // It was not stored or has expired: only its text is known.
      }
    }
  }

  #numbersOf(response: ResponseObject): string {
    const timing = this.#memory.timing(response.id);
    return numbersLine(response, timing?.firstMs ?? null, timing?.totalMs ?? null);
  }

  #turn(response: SluiceResponse, input: readonly Readonly<Record<string, unknown>>[]): void {
    const pending = this.#pending;
    const shown =
      pending?.shown ?? this.#view.addTurn(newTurn(questionOf(input), { pictures: input.flatMap(picturesOf) }));
    const { turn } = shown;
    const sentAt = performance.now();
    let firstMs: number | null = null;
    this.#live.set(response, shown);
    this.#view.running(true);
    this.#view.announcer.begin();
    this.#owner.changed();
    response.on('delta', () => {
      firstMs ??= performance.now() - sentAt;
      turn.text = response.text;
      shown.grow();
      this.#view.announcer.grow(response.text);
    });
    response.on('replace', (text) => {
      turn.text = text;
      shown.draw();
    });
    response.on('refusal', () => {
      turn.refusal = response.refusal;
      shown.draw();
    });
    response.on('status', () => {
      turn.note = response.status === 'queued' ? { kind: 'info', words: 'Waits for the answer before it.' } : null;
      shown.draw();
    });
    response.on('event', (event) => {
      if (pending !== null) this.#confirmed(pending.question);
      if (event.response) this.#view.model(modelWords(event.response));
    });
    response.final.then(
      (ended) => {
        // This page saw another page's turn only in part, so it cannot time it.
        if (pending !== null) this.#memory.keepTiming(ended.id, { firstMs, totalMs: performance.now() - sentAt });
        turn.calls = ended.output.flatMap((item) => callWords(item) ?? []);
        turn.note = endNote(ended);
        turn.numbers = this.#numbersOf(ended);
        this.#end(response, shown);
      },
      (error: SluiceErrorShape) => {
        if (pending !== null && error.code === 'conversation_not_found') {
          this.#live.delete(response);
          this.#owner.gone(pending);
          return;
        }
        // If this page closed the client, it sends the question again after a reload.
        if (pending !== null && error.kind !== 'closed') this.#confirmed(pending.question);
        turn.note = errorNote(error, turn.text !== '');
        this.#end(response, shown);
      },
    );
  }

  #confirmed({ key }: PendingQuestion): void {
    if (!this.#memory.pending.some((pending) => pending.key === key)) return;
    this.#memory.pending = this.#memory.pending.filter((pending) => pending.key !== key);
  }

  #end(response: SluiceResponse, shown: TurnView): void {
    this.#live.delete(response);
    shown.turn.ended = true;
    shown.turn.text = response.text;
    if (!this.#open) return;
    shown.draw();
    this.#view.running(this.#live.size > 0);
    this.#view.announcer.end(`${response.text} ${response.refusal}`, shown.turn.note?.words ?? '');
    this.#owner.changed();
  }
}

interface Part {
  readonly text?: string;
  readonly refusal?: string;
  readonly image_url?: string;
}
interface WithContent {
  readonly content?: unknown;
}

/**
 * Returns the parts of content that the gateway or this page wrote: a string, or parts with a text.
 */
function partsOf({ content }: WithContent): readonly Part[] {
  return typeof content === 'string' ? [{ text: content }] : ((content ?? []) as readonly Part[]);
}
function textOf(item: WithContent): string {
  return partsOf(item)
    .map(({ text }) => text ?? '')
    .join('');
}
function refusalOf(item: WithContent): string {
  return partsOf(item)
    .map(({ refusal }) => refusal ?? '')
    .join('');
}
/** Returns the URLs of the images of an item. */
function picturesOf(item: WithContent): string[] {
  return partsOf(item).flatMap(({ image_url: url }) => (url === undefined ? [] : [url]));
}
/** A question without images is a string. */
function inputOf({ question, pictures = [] }: PendingQuestion): Input {
  if (pictures.length === 0) return question;
  const images = pictures.map((image_url) => ({ type: 'input_image', image_url, detail: 'auto' }));
  const text = question === '' ? [] : [{ type: 'input_text', text: question }];
  return [{ role: 'user', content: [...text, ...images] }];
}
function questionOf(input: readonly WithContent[]): string {
  return input.map(textOf).join('\n');
}
