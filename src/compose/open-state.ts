/*
 * Opens the state that the configuration names, and reports its size to the metrics. The code for
 * Redis is loaded only if Redis is configured.
 */

import { getHeapStatistics } from 'node:v8';
import { type AppConfig } from '../config/schema.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { memoryState, type MemoryStateOptions } from '../state/memory/memory-state.js';
import { Outage } from '../state/outage.js';
import { type State } from '../state/state.js';

export interface OpenState {
  readonly state: State;
  readonly outage: Outage;
}

const SAMPLE_EVERY_MS = 1_000;

/** @throws SluiceError `state_unavailable` if Redis does not answer or rejects the credentials */
export async function openState(config: AppConfig, logger: Log, metrics: Metrics): Promise<OpenState> {
  const outage = new Outage(config.state.outage_after);
  const { ttl, ttl_by_class: byClass, max_messages, max_bytes } = config.state;
  const classes = Object.keys(byClass).length === 0 ? {} : { ttlOfClass: byClass };
  const limits = { ttlMs: ttl, ...classes, maxItems: max_messages, maxBytes: max_bytes };
  metrics.of.state_up.set(1);
  if (config.state.type === 'memory') {
    return {
      state: openMemory({ ...limits, memoryMaxBytes: config.state.memory_max_bytes ?? halfOfTheHeap() }, metrics),
      outage,
    };
  }
  const { openRedis } = await import('./open-redis.js');
  return { state: await openRedis(config, limits, { outage, logger, metrics }), outage };
}

const MEMORY_MOST_BYTES = 512 * 1024 * 1024;

/**
 * Returns the default of `state.memory_max_bytes`: half of the heap limit, at most 512 MiB. The
 * other half is left to running turns.
 */
function halfOfTheHeap(): number {
  return Math.min(getHeapStatistics().heap_size_limit / 2, MEMORY_MOST_BYTES);
}

function openMemory(options: MemoryStateOptions, metrics: Metrics): State {
  const state = memoryState({ ...options, onEvicted: (kind) => metrics.of.state_evictions_total.inc({ kind }) });
  const sample = setInterval(() => metrics.of.state_memory_bytes.set(state.keptBytes()), SAMPLE_EVERY_MS).unref();
  const close = async (): Promise<void> => {
    clearInterval(sample);
    await state.close();
  };
  return { ...state, close };
}
