/* What every contract suite runs over: a state, perhaps seen by two replicas, and a way to let its time pass. Knows no implementation. */

import { type LogTimes } from '../../../src/state/event-log.js';
import { type State } from '../../../src/state/state.js';

export interface ContractStore {
  readonly state: State;
  /** What another replica has of the same data; a store of one replica gives the same again. */
  readonly other: State;
  readonly times: LogTimes;
  readonly ttlMs: number;
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Lets so much of the store's time pass. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens an empty store. */
export type OpenStore = () => Promise<ContractStore>;

/** Resolves when `holds` does; looks every few milliseconds. A test that waits for what never comes fails by jest's own limit. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 3));
}
