/*
 * An event log whose messages a test can lose, repeat or reorder on their way to followers. Stored
 * events are unaffected.
 */

import { type LoggedEvent } from '../../../src/domain/event.js';
import { EventLog, type LogHead, type LogPage } from '../../../src/state/event-log.js';

export class LossyLog extends EventLog {
  /** Replaces the events of a message; none means that the message is lost. */
  onWay: (events: readonly LoggedEvent[]) => (readonly LoggedEvent[])[] = (events) => [events];
  /** Replaces the result of a read. */
  onRead: (page: LogPage | undefined) => LogPage | undefined = (page) => page;
  /** Reads fail while it is set. */
  readFails: Error | undefined;
  reads = 0;
  subscriptions = 0;
  /** Messages that have arrived here. */
  messages = 0;
  readonly #gaps = new Set<() => void>();
  readonly #inner: EventLog;

  constructor(inner: EventLog) {
    super();
    this.#inner = inner;
  }

  /** Simulates a short outage of the subscribing connection. */
  gap(): void {
    for (const onGap of this.#gaps) onGap();
  }

  override async subscribe(responseId: string, onEvents: (events: readonly LoggedEvent[]) => void, onGap: () => void) {
    const end = await this.#inner.subscribe(
      responseId,
      (events) => {
        this.messages += 1;
        for (const delivered of this.onWay(events)) onEvents(delivered);
      },
      onGap,
    );
    this.subscriptions += 1;
    this.#gaps.add(onGap);
    return () => {
      if (this.#gaps.delete(onGap)) this.subscriptions -= 1;
      end();
    };
  }

  override async read(responseId: string, after: number, limit: number) {
    this.reads += 1;
    if (this.readFails !== undefined) throw this.readFails;
    return this.onRead(await this.#inner.read(responseId, after, limit));
  }

  override create = (head: LogHead) => this.#inner.create(head);
  override append = (id: string, fence: number, events: readonly LoggedEvent[]) =>
    this.#inner.append(id, fence, events);
  override end = (...args: Parameters<EventLog['end']>) => this.#inner.end(...args);
  override requestCancel = (id: string) => this.#inner.requestCancel(id);
  override delete = (id: string) => this.#inner.delete(id);
}
