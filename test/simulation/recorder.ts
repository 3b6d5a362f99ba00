/*
 * Records what happened in the store, in the store's own order. Every promise is compared with it.
 */

import { isTerminal, type LoggedEvent } from '../../src/domain/event.js';
import { type StoredItem } from '../../src/domain/item.js';
import { ConversationExit } from '../../src/state/conversation-exit.js';
import { type CreatedLog, type EndResult, type EventLog, type LogHead } from '../../src/state/event-log.js';
import { type Bucket, type BucketState } from '../../src/state/rate-limiter.js';
import { type State } from '../../src/state/state.js';
import { type Scheduler } from './scheduler.js';

export interface KnownResponse {
  readonly head: LogHead;
  readonly events: LoggedEvent[];
  /** When it was appended, by the scheduler's clock; undefined: not yet. */
  begunAt?: number;
  endedAt?: number;
  /** When its items came into the conversation. */
  committedAt?: number;
  /** When its place in the queue was given up by its turn. */
  leftAt?: number;
  /** A client deleted it, or its log was dropped before anything could happen. */
  deleted: boolean;
  /** Ids of the items that its provider received, input included; undefined: it was not called. */
  asked?: readonly string[];
}

export class Recorder {
  readonly responses = new Map<string, KnownResponse>();
  readonly violations: string[] = [];
  /** Item ids of each conversation, in order; a deleted conversation is not in it. */
  readonly items = new Map<string, StoredItem[]>();
  readonly deletedConversations = new Set<string>();
  /**
   * Ids whose stored response a client deleted, alone or with its conversation; also before its log
   * was created.
   */
  readonly deletedResponses = new Set<string>();
  /** Sum of what was taken from each bucket. */
  readonly taken = new Map<string, number>();
  readonly #scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  violation(text: string): void {
    this.#scheduler.note(() => `VIOLATION ${text}`);
    this.violations.push(text);
  }

  /** The provider of a response was called: the input's last item names the response. */
  asked(itemIds: readonly string[]): void {
    for (const response of this.responses.values()) {
      const newest = response.head.input.at(-1)?.item.id;
      const isRetry = response.begunAt === undefined || response.asked !== undefined;
      if (!isRetry && newest !== undefined && newest === itemIds.at(-1)) response.asked = itemIds;
    }
  }

  /** The state whose effects are written down. */
  observe(state: State): State {
    const events = this.#log(state.events);
    const conversations = observed(state.conversations, {
      delete: (_result, id) => {
        this.items.delete(String(id));
        this.deletedConversations.add(String(id));
      },
      appendItems: (result, id, items, commitId) => {
        // The arguments are those of `appendItems`.
        if (result === true) this.#committed(String(id), items as readonly StoredItem[], String(commitId));
        this.#left(commitId);
      },
    });
    return {
      ...state,
      events,
      conversations,
      exit: new ConversationExit(events, conversations),
      claim: observed(state.claim, {
        leave: (_result, _conversationId, responseId) => this.#left(responseId),
      }),
      responses: observed(state.responses, {
        delete: (_result, id) => {
          this.deletedResponses.add(String(id));
          const response = this.responses.get(String(id));
          if (response !== undefined) response.deleted = true;
        },
      }),
      limiter: observed(state.limiter, {
        take: (result, bucket, cost) => {
          // What `take` answers.
          if ((result as BucketState).allowed) this.#take(bucket, cost);
        },
        charge: (_result, bucket, amount) => this.#take(bucket, amount),
      }),
    };
  }

  /** A turn gave up its place, alone or with its commit. */
  #left(responseId: unknown): void {
    const response = this.responses.get(String(responseId));
    if (response !== undefined) response.leftAt ??= this.#scheduler.now;
  }

  #take(bucket: unknown, cost: unknown): void {
    // The arguments are those of `take` and `charge`.
    const { key } = bucket as Bucket;
    this.taken.set(key, (this.taken.get(key) ?? 0) + (cost as number));
  }

  #log(log: EventLog): EventLog {
    return observed(log, {
      createWith: (result, head, first, next) => {
        // The arguments are those of `createWith`.
        const known = { head: head as LogHead, events: [], deleted: false };
        this.responses.set(known.head.responseId, known);
        this.#appended(known, first as readonly LoggedEvent[]);
        if ((result as CreatedLog).begun) this.#appended(known, next as readonly LoggedEvent[]);
      },
      append: (result, responseId, _fence: unknown, events) => this.#written(result, responseId, events),
      end: (result, responseId, _fence: unknown, events) => this.#written(result, responseId, events),
      delete: (_result, responseId) => {
        const response = this.responses.get(String(responseId));
        if (response !== undefined) response.deleted = true;
      },
    });
  }

  #written(result: unknown, responseId: unknown, events: unknown): void {
    const response = this.responses.get(String(responseId));
    // The arguments are those of `append` and `end`.
    if (response === undefined || (result as EndResult).outcome !== 'appended') return;
    this.#appended(response, events as readonly LoggedEvent[]);
  }

  #appended(response: KnownResponse, events: readonly LoggedEvent[]): void {
    for (const event of events) {
      const { responseId, conversationId } = response.head;
      const earlier = response.events[event.sequence];
      if (earlier !== undefined) {
        if (earlier.json !== event.json) this.violation(`${responseId} has two events of number ${event.sequence}`);
        continue;
      }
      if (response.endedAt !== undefined) this.violation(`${responseId} continues after its terminal`);
      response.events.push(event);
      if (event.type === 'response.in_progress') {
        response.begunAt = this.#scheduler.now;
        if (conversationId !== null) this.#checkAlone(responseId, conversationId);
      }
      if (isTerminal(event.type)) response.endedAt = this.#scheduler.now;
    }
  }

  /**
   * One writer: no other turn of the conversation has begun, and neither ended nor given up its
   * place after its commit.
   */
  #checkAlone(responseId: string, conversationId: string): void {
    for (const [otherId, other] of this.responses) {
      if (otherId === responseId || other.head.conversationId !== conversationId || other.begunAt === undefined)
        continue;
      if (other.endedAt === undefined && other.leftAt === undefined && !other.deleted)
        this.violation(`${responseId} began while ${otherId} ran in the same conversation`);
    }
  }

  #committed(id: string, items: readonly StoredItem[], commitId: string): void {
    const all = this.items.get(id) ?? [];
    const response = this.responses.get(commitId);
    if (items.length === 0) return;
    if (response?.committedAt !== undefined || (response === undefined && holds(all, items))) return;
    if (response !== undefined) {
      response.committedAt = this.#scheduler.now;
      this.#checkContext(response, all);
    }
    this.items.set(id, [...all, ...items]);
  }

  /**
   * Reports another write to the conversation between reading a turn's context and committing its
   * items.
   */
  #checkContext({ head, asked, endedAt }: KnownResponse, before: readonly StoredItem[]): void {
    // KEEP-6: a try that its turn has given up may arrive between two later turns.
    if (asked === undefined || endedAt !== undefined) return;
    const input = new Set(head.input.map(({ item }) => item.id));
    const context = asked.filter((id) => !input.has(id));
    const now = before.map(({ item }) => item.id);
    if (context.length !== now.length || context.some((id, i) => id !== now[i]))
      this.violation(`${head.responseId} committed after items that its provider was not asked with`);
  }
}

function holds(all: readonly StoredItem[], items: readonly StoredItem[]): boolean {
  return items.some(({ item }) => all.some((other) => other.item.id === item.id));
}

type Effect = (result: unknown, ...args: unknown[]) => void;

/** `target`, with a call of `effects` after each effect of that name. */
function observed<T extends object>(target: T, effects: Readonly<Record<string, Effect>>): T {
  return new Proxy(target, {
    get: (whole, name) => {
      const value: unknown = Reflect.get(whole, name, whole);
      const effect = typeof name === 'string' ? effects[name] : undefined;
      if (typeof value !== 'function') return value;
      if (effect === undefined) return value.bind(whole) as unknown;
      return async (...args: unknown[]): Promise<unknown> => {
        // The proxy forwards the caller's arguments unchanged, so their types match.
        const result = await Reflect.apply(value as (...all: unknown[]) => Promise<unknown>, whole, args);
        effect(result, ...args);
        return result;
      };
    },
  });
}
