/* One follower of a log in Redis. */

import { type LoggedEvent } from '../../../domain/event.js';

export class Follower {
  leave: (() => void) | undefined;
  ended = false;

  constructor(
    readonly onEvents: (events: readonly LoggedEvent[]) => void,
    readonly onGap: () => void,
  ) {}

  end(): void {
    this.ended = true;
    this.leave?.();
  }
}
