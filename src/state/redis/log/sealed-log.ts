/*
 * The text of logs as Redis holds it: encrypts what is written, decrypts pages and messages.
 * Remembers which data key each running response is written with. Sends no command of its own.
 */

import { SluiceError } from '../../../domain/errors.js';
import { type LoggedEvent, type ResponseEventType } from '../../../domain/event.js';
import { type LogHead } from '../../event-log.js';
import { PLACES } from '../encryption/sealed-text.js';
import { type Scopes } from '../encryption/scopes.js';
import { type DataKeyScope, type Sealer, type Vault } from '../encryption/vault.js';
import { type RedisHooks } from '../redis-options.js';
import { isBlock, unpackEvents } from './packed-log.js';

export interface SealedLogOptions {
  readonly vault: Vault;
  readonly scopes: Scopes;
  readonly hooks: RedisHooks;
  /** How long an ended log with `store: false` is stored, in milliseconds. */
  readonly endedUnstoredMs: number;
  /** Reads the head of a log. */
  readonly readHead: (responseId: string) => Promise<LogHead | undefined>;
}

interface Writing {
  readonly scope: DataKeyScope;
  /** Whether the key is for this log alone, and expires with it. */
  readonly ownAndUnstored: boolean;
}

/** Most responses in memory; the key of another one is found by its log. */
const WRITING_MAX = 10_000;

export class SealedLog {
  readonly #options: SealedLogOptions;
  readonly #writing = new Map<string, Writing>();

  constructor(options: SealedLogOptions) {
    this.#options = options;
  }

  /** Returns the head and the first events of a new log. @throws like Vault.sealer */
  async created(head: LogHead, first: readonly LoggedEvent[]): Promise<readonly [string, ...string[]]> {
    const { responseId } = head;
    const sealer = await this.#sealer(this.#begin(head).scope);
    return [
      sealer.text(PLACES.logHead(responseId), JSON.stringify(head)),
      ...sealedEvents(responseId, first, sealer).map(({ json }) => json),
    ];
  }

  /**
   * Returns events of a running log; without waiting if its data key is in memory.
   * @returns undefined if there is no such log
   * @throws like Vault.sealer
   */
  appended(
    responseId: string,
    events: readonly LoggedEvent[],
  ): readonly LoggedEvent[] | Promise<readonly LoggedEvent[] | undefined> {
    const { vault } = this.#options;
    if (!vault.writes) return events;
    const writing = this.#writing.get(responseId);
    const sealer = writing === undefined ? undefined : vault.heldSealer(writing.scope.name);
    return sealer === undefined ? this.#appendedLater(responseId, events) : sealedEvents(responseId, events, sealer);
  }

  /** Forgets a response that this replica no longer writes. */
  end(responseId: string): void {
    this.#writing.delete(responseId);
  }

  /** Lets the data key of an ended log expire with the log, if it is for that log alone. */
  shortenKey(responseId: string): void {
    const { vault, endedUnstoredMs } = this.#options;
    const writing = this.#writing.get(responseId);
    // If this fails, the key expires later.
    if (writing?.ownAndUnstored === true)
      void vault.shorten(writing.scope.name, endedUnstoredMs).catch(() => undefined);
  }

  /**
   * Returns the JSON of a head, or undefined if its data key was erased.
   * @throws like Vault.open
   */
  openHead(responseId: string, text: string): Promise<string | undefined> {
    return this.#options.vault.open(PLACES.logHead(responseId), text);
  }

  /**
   * Returns the events of a page.
   * @param entries events, or the blocks of a packed log that hold them
   * @returns undefined if a block is damaged, or if the data key was erased
   * @throws like Vault.open
   */
  async openPage(
    responseId: string,
    entries: readonly string[],
    after: number,
    limit: number,
  ): Promise<readonly LoggedEvent[] | undefined> {
    const { vault, hooks } = this.#options;
    if (entries[0] === undefined || !isBlock(entries[0])) {
      const events: LoggedEvent[] = [];
      for (const [i, entry] of entries.entries()) {
        const sequence = after + 1 + i;
        const place = PLACES.event(responseId, sequence);
        const json = vault.openHeld(place, entry) ?? (await vault.open(place, entry));
        if (json === undefined) return undefined;
        events.push(logged(json, sequence));
      }
      return events;
    }
    try {
      const events = await unpackEvents({ responseId, blocks: entries, after, limit }, vault);
      return events?.map((json, i) => logged(json, after + 1 + i));
    } catch (error) {
      if (error instanceof SluiceError) throw error;
      hooks.onUnreadable?.('log');
      return undefined;
    }
  }

  /**
   * Returns a function that passes on the events of messages (`first\nevent\nevent…`) in their
   * order. A message whose data key is not in memory waits until the key is read. Later messages
   * wait for it, because viewers need the events in order.
   * @param onGap called for a message without events, and for one that cannot be decrypted
   */
  reader(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): (message: string) => void {
    let waiting: Promise<void> | undefined;
    return (message) => {
      const [first = '', ...entries] = message.split('\n');
      if (waiting === undefined) {
        if (entries.length === 0) return onGap();
        const events = this.#openHeld(responseId, Number(first), entries);
        if (events !== undefined) return onEvents(events);
      }
      const mine = (waiting ?? Promise.resolve())
        .then(() => this.openPage(responseId, entries, Number(first) - 1, entries.length))
        .then((events) => (events === undefined || events.length === 0 ? onGap() : onEvents(events)))
        .catch(onGap)
        .finally(() => {
          if (waiting === mine) waiting = undefined;
        });
      waiting = mine;
    };
  }

  #openHeld(responseId: string, first: number, entries: readonly string[]): readonly LoggedEvent[] | undefined {
    const events: LoggedEvent[] = [];
    for (const [i, entry] of entries.entries()) {
      const json = this.#options.vault.openHeld(PLACES.event(responseId, first + i), entry);
      if (json === undefined) return undefined;
      events.push(logged(json, first + i));
    }
    return events;
  }

  async #appendedLater(
    responseId: string,
    events: readonly LoggedEvent[],
  ): Promise<readonly LoggedEvent[] | undefined> {
    const scope = this.#writing.get(responseId)?.scope ?? (await this.#found(responseId));
    return scope === undefined ? undefined : sealedEvents(responseId, events, await this.#sealer(scope));
  }

  /** Finds the data key of a response that this replica has taken over, by its log. */
  async #found(responseId: string): Promise<DataKeyScope | undefined> {
    const head = await this.#options.readHead(responseId);
    return head === undefined ? undefined : this.#begin(head).scope;
  }

  #begin(head: LogHead): Writing {
    const ownAndUnstored = !head.store && head.conversationId === null;
    const writing = { scope: this.#options.scopes.ofLog(head), ownAndUnstored };
    if (!this.#options.vault.writes) return writing;
    this.#writing.set(head.responseId, writing);
    if (this.#writing.size > WRITING_MAX) this.#writing.delete(this.#writing.keys().next().value ?? '');
    return writing;
  }

  async #sealer(scope: DataKeyScope): Promise<Sealer> {
    const { vault } = this.#options;
    return vault.heldSealer(scope.name) ?? vault.sealer(scope);
  }
}

function sealedEvents(responseId: string, events: readonly LoggedEvent[], sealer: Sealer): readonly LoggedEvent[] {
  return events.map(({ sequence, type, json }) => ({
    sequence,
    type,
    json: sealer.text(PLACES.event(responseId, sequence), json),
  }));
}

const TYPE_AT = '{"type":"'.length;

/** Returns an event from its JSON; `serialize` writes the type first. */
function logged(json: string, sequence: number): LoggedEvent {
  return { sequence, type: json.slice(TYPE_AT, json.indexOf('"', TYPE_AT)) as ResponseEventType, json };
}
