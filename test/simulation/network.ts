/*
 * What lies between one replica and the store: delays requests and replies, loses either, repeats
 * requests, lets some arrive long after the replica has given up, and can be cut. A lost reply
 * means that the effect happened and the replica gets `state_unavailable`.
 */

import { SluiceError } from '../../src/domain/errors.js';
import { type LoggedEvent } from '../../src/domain/event.js';
import { type ConversationAnnouncements } from '../../src/state/conversation-announcements.js';
import { type ConversationClaim } from '../../src/state/conversation-claim.js';
import { ConversationExit } from '../../src/state/conversation-exit.js';
import { type EventLog, type TurnLease } from '../../src/state/event-log.js';
import { type State } from '../../src/state/state.js';
import { endingInSteps } from '../unit/turn/turn-harness.js';
import { type Random } from './random.js';
import { type Host, type Scheduler } from './scheduler.js';

/** How likely each fault is, for one request. */
export interface Weather {
  readonly lostRequest: number;
  readonly lostReply: number;
  readonly repeat: number;
  /** The request arrives after the replica has given up. */
  readonly late: number;
  readonly lostMessage: number;
  /** Longest usual delay of a request or a reply, in milliseconds. */
  readonly delayMs: number;
}

type Work = () => Promise<unknown>;

const TIMEOUT_MS = 1_000;
const LATE_MS = 12_000;
/** Somewhat less than the 30 seconds for which a turn repeats a request. */
const LONG_MS = 25_000;
/** Requests that the store recognizes when they are sent again, or that are never sent again. */
const SENT_ONCE = new Set(['createWith', 'create', 'take', 'charge', 'adoptExpired']);

export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #host: Host;
  #weather: Weather;
  /**
   * Called once when a conversation was joined, with the joining done and its answer on the way.
   */
  afterJoin: (() => void) | undefined;
  /**
   * Whether the end of a response is stored in one request and its terminal appended in another, as
   * in a Redis Cluster.
   */
  endsInSteps = false;
  /** Called when a store has answered no request of one kind for long, whatever the reasons. */
  onLongSilence: ((store: string) => void) | undefined;
  readonly #onHeal = new Set<() => void>();
  #cut = false;
  /** Stores that do not answer this replica, by name. */
  readonly #away = new Set<string>();
  /** Stores whose requests arrive late, by name. */
  readonly #stalled = new Set<string>();
  /** Since when requests of one kind had no answer in time, by label. */
  readonly #silentSince = new Map<string, number>();

  constructor(scheduler: Scheduler, random: Random, host: Host, weather: Weather) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#host = host;
    this.#weather = weather;
  }

  cut(): void {
    this.#cut = true;
  }

  heal(): void {
    if (!this.#cut) return;
    this.#cut = false;
    for (const onHeal of this.#onHeal) onHeal();
  }

  /** One store stays out of reach while the others answer: a shard, or a kind of key. */
  lose(store: string): void {
    this.#away.add(store);
  }

  regain(store: string): void {
    this.#away.delete(store);
  }

  /**
   * Requests to one store arrive long after the replica has given up on them: they wait in a
   * stalled connection.
   */
  stall(store: string): void {
    this.#stalled.add(store);
  }

  unstall(store: string): void {
    this.#stalled.delete(store);
  }

  /** Ends every fault. */
  clearUp(weather: Weather): void {
    this.#weather = weather;
    this.#away.clear();
    this.#stalled.clear();
    this.heal();
  }

  /** The store as this replica reaches it. */
  reach(state: State): State {
    const log = this.#log(state.events);
    const responses = this.#store('responses', state.responses);
    const conversations = this.#store('conversations', state.conversations);
    return {
      events: this.endsInSteps ? endingInSteps(log, responses) : log,
      lease: this.#lease(state.lease),
      claim: this.#claim(state.claim),
      entry: this.#store('claim', state.entry),
      exit: this.endsInSteps ? new ConversationExit(log, conversations) : this.#store('conversations', state.exit),
      announcements: this.#announcements(state.announcements),
      conversations,
      responses,
      limiter: this.#store('limiter', state.limiter),
      keys: this.#store('keys', state.keys),
      credentials: this.#store('keys', state.credentials),
      index: this.#store('keys', state.index),
      ping: () => this.#request('ping', '', () => state.ping()) as Promise<void>,
      close: () => Promise.resolve(),
    };
  }

  #log(log: EventLog): EventLog {
    return this.#store('log', log, {
      subscribe: (
        responseId: string,
        onEvents: (events: readonly LoggedEvent[]) => void,
        onGap: () => void,
      ): Promise<() => void> =>
        this.#listen(`subscribe ${responseId}`, onGap, (deliver) =>
          log.subscribe(
            responseId,
            (events) => deliver(this.#weather.lostMessage, () => onEvents(events)),
            () => deliver(0, onGap),
          ),
        ),
    });
  }

  #lease(lease: TurnLease): TurnLease {
    return this.#store('lease', lease, {
      watchCancel: (responseId: string, onCancel: () => void): Promise<() => void> =>
        this.#listen(
          `watchCancel ${responseId}`,
          () => undefined,
          (deliver) => lease.watchCancel(responseId, () => deliver(this.#weather.lostMessage, onCancel)),
        ),
    });
  }

  /** Announcements are lost with the claim: both use the keys of the conversation. */
  #announcements(announcements: ConversationAnnouncements): ConversationAnnouncements {
    return this.#store('claim', announcements, {
      watch: (
        conversationId: string,
        onResponse: (responseId: string) => void,
        onGap: () => void,
      ): Promise<() => void> =>
        // What is lost on its way is found in the list of announcements: it comes late, not never.
        this.#listen(`watch ${conversationId}`, onGap, (deliver) =>
          announcements.watch(
            conversationId,
            (responseId) => deliver(0, () => onResponse(responseId)),
            () => deliver(0, onGap),
          ),
        ),
    });
  }

  #claim(claim: ConversationClaim): ConversationClaim {
    return this.#store('claim', claim, {
      wait: (conversationId: string, responseId: string, signal: AbortSignal) =>
        this.#wait(claim, conversationId, responseId, signal),
    });
  }

  /** The waiting itself never fails by the network: it looks again until it sees its place. */
  async #wait(
    claim: ConversationClaim,
    conversationId: string,
    responseId: string,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const waiting = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => {
      waiting.abort(signal.reason);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const tell = (what: () => void): void => {
      this.#scheduler.post(this.#host, this.#delay(), 'wait is over', () => {
        if (this.#cut) this.#whenHealed(() => tell(what));
        else what();
      });
    };
    const ask = (): void => {
      this.#scheduler.post(null, this.#delay(), '', () => {
        if (this.#cut) this.#whenHealed(ask);
        else
          claim.wait(conversationId, responseId, waiting.signal).then(
            () => tell(resolve),
            (error: unknown) => tell(() => reject(error as Error)),
          );
      });
    };
    ask();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #store<T extends object>(name: string, target: T, own: Readonly<Record<string, unknown>> = {}): T {
    return new Proxy(target, {
      get: (whole, property) => {
        const value: unknown = Reflect.get(whole, property, whole);
        if (typeof value !== 'function' || typeof property !== 'string') return value;
        if (property in own) return own[property];
        return (...args: unknown[]): Promise<unknown> =>
          this.#request(
            name,
            property,
            // The proxy forwards the caller's arguments unchanged, so their types match.
            () => Promise.resolve(Reflect.apply(value as (...all: unknown[]) => unknown, whole, args)),
            String(args[0] instanceof Object ? '' : args[0]),
          );
      },
    });
  }

  #request(store: string, method: string, work: Work, about = ''): Promise<unknown> {
    const { lostRequest, lostReply, repeat, late } = this.#weather;
    const label = `${store}.${method} ${about}`;
    const isLost = this.#random.chance(lostRequest);
    const isLate = !isLost && (this.#random.chance(late) || this.#stalled.has(store));
    const isUnanswered = this.#random.chance(lostReply);
    const isRepeated = this.#random.chance(repeat) && !SENT_ONCE.has(method);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const sentAt = this.#scheduler.now;
    let isWaiting = true;
    const stop = this.#scheduler.post(this.#host, TIMEOUT_MS, `gives up ${label}`, () => {
      isWaiting = false;
      const since = this.#silentSince.get(label) ?? sentAt;
      this.#silentSince.set(label, since);
      if (this.#scheduler.now - since > LONG_MS) this.onLongSilence?.(store);
      reject(away());
    });
    const answer = (what: () => void): void => {
      if (isUnanswered || this.#cut || this.#away.has(store)) return;
      this.#scheduler.post(this.#host, this.#delay(), `<- ${label}`, () => {
        stop();
        if (isWaiting) this.#silentSince.delete(label);
        what();
      });
    };
    const arriveMs = this.#delay() + (isLate ? TIMEOUT_MS + this.#random.between(0, LATE_MS) : 0);
    this.#scheduler.post(null, arriveMs, `${this.#host.name} -> ${label}${isLost ? ' LOST' : ''}`, () => {
      if (isLost || this.#cut || this.#away.has(store)) return;
      work().then(
        (value) => {
          answer(() => resolve(value));
          if (method === 'join' || method === 'enter') this.#joined();
        },
        (error: unknown) => answer(() => reject(error as Error)),
      );
      if (!isRepeated) return;
      this.#scheduler.post(null, this.#delay() * 4, `${this.#host.name} -> ${label} AGAIN`, () => {
        work().catch(() => undefined);
      });
    });
    return promise;
  }

  /**
   * A subscription: its messages come in order, each after a delay; none comes after it has ended.
   */
  #listen(
    label: string,
    onGap: () => void,
    open: (deliver: (loss: number, what: () => void) => void) => Promise<() => void>,
  ): Promise<() => void> {
    let lastAt = 0;
    let over = false;
    const deliver = (loss: number, what: () => void): void => {
      if (over || this.#random.chance(loss)) return;
      const inMs = Math.max(this.#delay(), lastAt - this.#scheduler.now + 0.001);
      lastAt = this.#scheduler.now + inMs;
      this.#scheduler.post(this.#host, inMs, `receives ${label}`, () => {
        if (!over && !this.#cut) what();
      });
    };
    const heal = (): void =>
      void this.#scheduler.post(this.#host, this.#delay(), `gap ${label}`, () => !over && onGap());
    const end = (close: () => void): void => {
      over = true;
      this.#onHeal.delete(heal);
      close();
    };
    return this.#request('log', label, async () => {
      const close = await open(deliver);
      this.#onHeal.add(heal);
      return () => end(close);
    }) as Promise<() => void>;
  }

  #joined(): void {
    const { afterJoin } = this;
    this.afterJoin = undefined;
    afterJoin?.();
  }

  #whenHealed(work: () => void): void {
    const once = (): void => {
      this.#onHeal.delete(once);
      work();
    };
    this.#onHeal.add(once);
  }

  #delay(): number {
    return this.#random.between(0.1, this.#weather.delayMs);
  }
}

function away(): SluiceError {
  return new SluiceError('state_unavailable', 'unable to reach the state store; the network is simulated; try again');
}
