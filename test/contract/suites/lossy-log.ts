/* An event log whose messages a test can lose, repeat or turn round on their way to followers; what it stores is untouched. */

import { type LoggedEvent } from '../../../src/domain/event.js';
import { EventLog, type LogHead, type LogPage } from '../../../src/state/event-log.js';

export class LossyLog extends EventLog {
  /** What is delivered in the place of a message's events; none: the message is lost. */
  onWay: (events: readonly LoggedEvent[]) => (readonly LoggedEvent[])[] = (events) => [events];
  /** What a read gives in the place of a page. */
  onRead: (page: LogPage | undefined) => LogPage | undefined = (page) => page;
  /** Read fails while it is set. */
  readFails: Error | undefined;
  reads = 0;
  subscriptions = 0;
  /** Messages that have come this far. */
  messages = 0;
  readonly #gaps = new Set<() => void>();
  readonly #inner: EventLog;

  constructor(inner: EventLog) {
    super();
    this.#inner = inner;
  }

  /** As when the connection that subscribes was away for a moment. */
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
  override requestCancel = (id: string) => this.#inner.requestCancel(id);
  override delete = (id: string) => this.#inner.delete(id);
}
