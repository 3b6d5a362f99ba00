/*
 * Reports compactions: those of a turn's context, and those that clients request. Ids and counts
 * only.
 */

import { type Usage } from '../domain/response.js';
import { type Log, type LogFields } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type TurnOutcome } from './outcome.js';
import { type ContextCompaction, type Turn } from './turn.js';

interface Operators {
  readonly logger: Pick<Log, 'info' | 'warn'>;
  readonly metrics: Pick<Metrics, 'of'>;
}

/** Reports the compaction of an ended turn, if there was one. @param ids the fields that name it */
export function reportCompaction({ logger, metrics }: Operators, turn: Turn, end: TurnOutcome, ids: LogFields): void {
  const { facts, plan } = turn;
  const { compaction } = facts;
  if (compaction !== null) {
    const { outcome, items, error } = compaction;
    metrics.of.compactions_total.inc({ source: 'turn', outcome });
    const fields = { ...ids, source: 'turn', items, ...tokensOf(facts.summaryCall?.usage) };
    if (outcome === 'compacted') logger.info(fields, 'context compacted');
    else logger.warn({ ...fields, outcome, ...(error === undefined ? {} : { err: error }) }, 'context not compacted');
  }
  const requested = plan.request.summarize === true ? outcomeOfRequest(turn, end) : undefined;
  if (requested === undefined) return;
  metrics.of.compactions_total.inc({ source: 'request', outcome: requested });
  const fields = { ...ids, source: 'request', items: facts.context?.items.length ?? null, ...tokensOf(facts.usage) };
  if (requested === 'compacted') logger.info(fields, 'context compacted');
  else logger.warn({ ...fields, outcome: requested }, 'context not compacted');
}

/** @returns undefined if the client cancelled it */
function outcomeOfRequest({ facts }: Turn, end: TurnOutcome): ContextCompaction['outcome'] | undefined {
  switch (end.end) {
    case 'failed':
      return 'failed';
    case 'completed':
      if (facts.inputRefused) return 'refused';
      return facts.produced === '' ? 'failed' : 'compacted';
    case 'incomplete':
      if (end.reason === 'cancelled') return undefined;
      return end.reason === 'content_filter' ? 'refused' : 'failed';
  }
}

function tokensOf(usage: Usage | null | undefined): LogFields {
  return { input_tokens: usage?.input_tokens ?? null, output_tokens: usage?.output_tokens ?? null };
}
