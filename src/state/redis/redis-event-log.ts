/*
 * The event log in Redis: one fenced script a flush that appends, renews, publishes and returns the cancel flag; followers hear by pub/sub and
 * heal by reading. Remembers the newest events that this replica wrote, for the case that Redis forgets them.
 */

import { randomUUID } from 'node:crypto';
import { isTerminal, type LoggedEvent, type ResponseEventType } from '../../domain/event.js';
import { type AppendResult, EventLog, type Fence, type LogHead, type LogPage } from '../event-log.js';
import { type AppendQueue } from './append-queue.js';
import { type RedisKeys } from './keys.js';
import { type RedisHooks } from './options.js';
import { type RedisCommands } from './redis-commands.js';
import { type Scripts } from './scripts.js';
import { type Subscriptions } from './subscriptions.js';
import { type WrittenTails } from './written-tails.js';

export interface RedisEventLogOptions {
  readonly commands: RedisCommands;
  readonly appends: AppendQueue;
  readonly subscriptions: Subscriptions;
  readonly tails: WrittenTails;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly hooks: RedisHooks;
}

/** What append.lua returns; below zero it names the event before which the log ends. */
const FENCED = 0;
const CANCEL_ASKED = 2;

export class RedisEventLog extends EventLog {
  readonly #options: RedisEventLogOptions;
  /** Heads of followed logs, so that a look at a tail does not fetch what was asked again. */
  readonly #heads = new Map<string, LogHead>();
  readonly #followed = new Map<string, number>();

  constructor(options: RedisEventLogOptions) {
    super();
    this.#options = options;
  }

  override async create(head: LogHead): Promise<Fence> {
    const { commands, keys, scripts } = this.#options;
    const { responseId } = head;
    const created = await commands.run(
      scripts.get('create'),
      [keys.meta(responseId), keys.log(responseId), keys.leasesOf(responseId)],
      [responseId, JSON.stringify(head), head.store ? 1 : 0, randomUUID()],
    );
    if (created !== 1) throw new Error(`unable to create the log of ${responseId}; it exists already`);
    return 1;
  }

  override async append(responseId: string, fence: Fence, events: readonly LoggedEvent[]): Promise<AppendResult> {
    const { appends, tails, hooks } = this.#options;
    let result = await appends.append(responseId, fence, events);
    if (result < 0) {
      const lost = tails.between(responseId, -result - 1, events[0]?.sequence ?? 0);
      if (lost !== undefined) {
        // The same numbers with the same text: whoever has seen them already sees nothing new.
        result = await appends.append(responseId, fence, [...lost, ...events]);
        if (result > 0) hooks.onTailRepaired?.(lost.length);
      }
    }
    if (result <= FENCED) {
      tails.end(responseId);
      hooks.onFenced?.();
      return { outcome: 'fenced' };
    }
    if (isTerminal(events.at(-1)?.type ?? 'response.created')) tails.end(responseId);
    else tails.add(responseId, events);
    return { outcome: 'appended', cancelRequested: result === CANCEL_ASKED };
  }

  override async read(responseId: string, after: number, limit: number): Promise<LogPage | undefined> {
    const { commands, keys, scripts } = this.#options;
    const known = this.#heads.get(responseId);
    const page = await commands.run(
      scripts.get('read'),
      [keys.meta(responseId), keys.log(responseId)],
      [after, limit, known === undefined ? 1 : 0],
    );
    if (page === null) return undefined;
    // read.lua: next number, ended, head, events.
    const [next, ended, headJson, ...events] = page as readonly string[];
    const head = known ?? (JSON.parse(headJson ?? '') as LogHead);
    if (this.#followed.has(responseId)) this.#heads.set(responseId, head);
    return {
      head,
      events: events.map((json, i) => logged(json, after + 1 + i)),
      last: Number(next) - 1,
      ended: ended === '1',
    };
  }

  override async subscribe(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): Promise<() => void> {
    const { subscriptions, keys } = this.#options;
    const onMessage = (message: string): void => {
      const events = parseMessage(message);
      if (events === undefined) onGap();
      else onEvents(events);
    };
    const end = await subscriptions.listen(keys.live(responseId), { onMessage, onGap });
    this.#followed.set(responseId, (this.#followed.get(responseId) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      end();
      const others = (this.#followed.get(responseId) ?? 1) - 1;
      if (others > 0) this.#followed.set(responseId, others);
      else {
        this.#followed.delete(responseId);
        this.#heads.delete(responseId);
      }
    };
  }

  override async requestCancel(responseId: string): Promise<boolean> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, keys.cancelsOf(responseId)];
    return (await commands.run(scripts.get('cancel'), [keys.meta(responseId)], args)) === 1;
  }

  override async delete(responseId: string): Promise<void> {
    const { commands, keys, scripts, tails } = this.#options;
    const names = [keys.meta(responseId), keys.log(responseId), keys.leasesOf(responseId)];
    await commands.run(scripts.get('delete'), names, [responseId, keys.live(responseId)]);
    tails.end(responseId);
  }
}

/** `first\njson\njson…`; undefined: it says only that there is something to read. */
function parseMessage(message: string): LoggedEvent[] | undefined {
  const [first, ...events] = message.split('\n');
  if (events.length === 0) return undefined;
  const from = Number(first);
  return events.map((json, i) => logged(json, from + i));
}

const TYPE_AT = '{"type":"'.length;

/** An event from its own words, which `serialize` starts with its type. */
function logged(json: string, sequence: number): LoggedEvent {
  return { sequence, type: json.slice(TYPE_AT, json.indexOf('"', TYPE_AT)) as ResponseEventType, json };
}
