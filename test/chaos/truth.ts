/*
 * What every viewer saw of every response, held against the one truth: each number has one event,
 * for every viewer and at any time; the text is the one that the provider was scripted to send.
 * Knows no socket.
 */

import { type WireEvent } from '../../client/src/api.js';
import { spoken } from '../official/official.js';
import { allowed } from '../support/machine.js';

export type ViewerKind = 'own' | 'own resumed' | 'own subscribed' | 'official' | 'sse' | 'sse late';

/**
 * From when on a machine is busy, by what it allows for one millisecond (test/support/machine.ts).
 */
const BUSY = 2;

/** What a question may be refused with while all goes wrong. */
const PLAIN = new Set(['state_unavailable', 'draining', 'overloaded', 'conversation_busy']);

/** One response as far as any viewer has seen it. */
interface SeenResponse {
  /** Of each number: the event, without the lane that is each connection's own. */
  readonly events: (string | undefined)[];
  /**
   * Deltas requested of the provider; unknown until the viewer that asked receives the response.
   */
  deltas: number | undefined;
  conversation: string | undefined;
  cancelAsked: boolean;
  ended: boolean;
}

export class Truth {
  /** What must never happen, each with its response. Empty: all is well. */
  readonly violations: string[] = [];
  readonly views: View[] = [];
  /** Errors received in place of an answer, by code. */
  readonly refusals = new Map<string, number>();
  delivered = 0;
  readonly #seen = new Map<string, SeenResponse>();

  of(responseId: string): SeenResponse {
    const known = this.#seen.get(responseId);
    if (known !== undefined) return known;
    const seen = { events: [], deltas: undefined, conversation: undefined, cancelAsked: false, ended: false };
    this.#seen.set(responseId, seen);
    return seen;
  }

  get responses(): ReadonlyMap<string, SeenResponse> {
    return this.#seen;
  }

  /** Responses that have begun and not ended, as far as any viewer has seen. */
  get running(): string[] {
    return [...this.#seen].filter(([, { ended, deltas }]) => !ended && deltas !== undefined).map(([id]) => id);
  }

  /**
   * Refusals of other codes than these. A machine that is too busy for its replicas makes them
   * report that, which is right: `overloaded` and `state_unavailable` count only where it is not.
   */
  refusalsBut(...codes: string[]): string[] {
    const ofAMachine = allowed(1) > BUSY ? ['overloaded', 'state_unavailable'] : [];
    return [...this.refusals.keys()].filter((code) => ![...codes, ...ofAMachine].includes(code));
  }

  refused(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  /** How the views ended, by kind of end. */
  ends(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { end } of this.views) counts[end ?? 'hanging'] = (counts[end ?? 'hanging'] ?? 0) + 1;
    return counts;
  }
}

/** One viewer's sight of one response. */
export class View {
  id: string | undefined;
  /** Number of the last event seen. */
  last: number;
  text = '';
  /**
   * `completed`, `replica_lost`, `cancelled`, or `refused` where an error came in its place.
   * Undefined: it still waits.
   */
  end: string | undefined;
  readonly done: Promise<void>;
  #tellDone: () => void = () => undefined;
  /** The first event this viewer asked for; after a snapshot its text is not whole. */
  #fromStart: boolean;

  constructor(
    readonly truth: Truth,
    readonly kind: ViewerKind,
    readonly asked: { readonly deltas?: number; readonly conversation?: string | undefined; readonly after?: number },
  ) {
    this.last = asked.after ?? -1;
    this.#fromStart = this.last < 0;
    this.done = new Promise((resolve) => (this.#tellDone = resolve));
    truth.views.push(this);
  }

  get over(): boolean {
    return this.end !== undefined;
  }

  /** A snapshot came in place of the events up to this one. */
  skip(id: string, last: number): void {
    // After a repeated create it can come in place of response.created.
    if (this.id === undefined) this.#begin(id);
    if (last < this.last) this.#wrong(`a snapshot back to ${last}`);
    this.last = Math.max(this.last, last);
    this.#fromStart = false;
  }

  /** One event, as it came. */
  hear(event: WireEvent): void {
    const number = event.sequence_number ?? -1;
    if (this.over) return this.#wrong(`${event.type} ${number} after the end`);
    if (number !== this.last + 1) this.#wrong(`number ${number} (${event.type})`);
    this.last = number;
    this.truth.delivered += 1;
    if (event.type === 'response.created' && event.response !== undefined) this.#begin(event.response.id);
    this.#compare(number, event);
    if (event.type === 'response.output_text.delta') this.text += event.delta ?? '';
    if (/^response\.(?:completed|incomplete|failed)$/u.test(event.type)) this.#finish(event);
  }

  /** An error in place of an answer. */
  refuse(code: string): void {
    if (this.over) return;
    if (!PLAIN.has(code)) this.#wrong(`refused as ${code}`);
    this.end = 'refused';
    this.truth.refused(code);
    this.#tellDone();
  }

  /** It can no longer be followed, though it has begun. */
  lose(code: string): void {
    if (this.over) return;
    this.#wrong(`lost: ${code}`);
    this.end = 'lost';
    this.#tellDone();
  }

  #begin(id: string): void {
    if (this.id !== undefined && this.id !== id) this.#wrong(`became ${id}`);
    this.id = id;
    const seen = this.truth.of(id);
    const { deltas, conversation } = this.asked;
    if (deltas !== undefined) {
      if (seen.deltas !== undefined && seen.deltas !== deltas) this.#wrong(`asked for ${deltas} deltas, gets another`);
      seen.deltas = deltas;
      seen.conversation = conversation;
    }
  }

  #compare(number: number, event: WireEvent): void {
    if (this.id === undefined) return this.#wrong(`${event.type} before response.created`);
    const { stream_id: _lane, ...own } = event;
    const json = JSON.stringify(own);
    const { events } = this.truth.of(this.id);
    const known = events[number];
    if (known === undefined) events[number] = json;
    else if (known !== json) this.#wrong(`number ${number} twice with other text:\n  ${known}\n  ${json}`);
  }

  #finish(event: WireEvent): void {
    const seen = this.truth.of(this.id ?? '');
    seen.ended = true;
    const { output_text: text = '', error, incomplete_details: details } = event.response ?? {};
    this.end = error?.code ?? details?.reason ?? 'completed';
    const said = seen.deltas === undefined ? undefined : spoken(seen.deltas);
    if (this.#fromStart && this.text !== text)
      this.#wrong(`saw "${this.text.slice(-40)}", the end says "${text.slice(-40)}"`);
    if (said !== undefined && this.end === 'completed' && text !== said)
      this.#wrong(`is not whole: "${text.slice(-40)}"`);
    if (said !== undefined && !said.startsWith(text)) this.#wrong(`says "${text.slice(-40)}", which is no beginning`);
    // A turn that is refused after its log existed fails, before any text, for those who found it.
    const refused = text === '' ? ['state_unavailable', 'conversation_busy'] : [];
    const allowed = ['completed', 'replica_lost', ...refused, ...(seen.cancelAsked ? ['cancelled'] : [])];
    if (!allowed.includes(this.end)) this.#wrong(`ended as ${this.end}: ${JSON.stringify(error)}`);
    this.#tellDone();
  }

  #wrong(what: string): void {
    this.truth.violations.push(`${this.kind} ${this.id ?? '(no id yet)'} after ${this.last}: ${what}`);
  }
}
