/*
 * The parameters of every contract suite: a state, seen by one or two replicas, and a way to
 * advance its time. Knows no implementation.
 */

import { type LogTimes } from '../../../src/state/event-log.js';
import { type State } from '../../../src/state/state.js';

export interface ContractStore {
  readonly state: State;
  /**
   * The view of another replica of the same data. A store of one replica returns the same view
   * again.
   */
  readonly other: State;
  readonly times: LogTimes;
  readonly ttlMs: number;
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Advances the time of the store by so much. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens an empty store. */
export type OpenStore = () => Promise<ContractStore>;

/**
 * Resolves when `holds` returns true, checked every few milliseconds. If it never does, the test
 * fails by jest's limit.
 */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 3));
}

/**
 * Runs steps that are certain to succeed only within so many milliseconds. If they fail after that,
 * because the machine is slow, they run again; each attempt starts with data of its own.
 * @throws the error of an attempt that failed in time
 */
export async function inTime(ms: number, steps: () => Promise<void>): Promise<void> {
  for (;;) {
    const startedAt = performance.now();
    try {
      return await steps();
    } catch (error) {
      if (performance.now() - startedAt < ms) throw error;
    }
  }
}
