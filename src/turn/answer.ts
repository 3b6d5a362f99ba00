/*
 * Produces the answer of a turn: input guard, context, provider, output guard. Writes text that
 * passed the guards to the turn's writer and returns the outcome. Knows no queue, no commit and no
 * terminal event.
 */

import { SluiceError } from '../domain/errors.js';
import { type TokenLogprob } from '../domain/item.js';
import { type TextFormat, ZERO_USAGE } from '../domain/response.js';
import { ignoreCloseErrors } from '../provider/stream-opening.js';
import { type Provider, type ProviderPart } from '../provider/provider.js';
import { type Compaction } from './compaction.js';
import { type GuardedOutput } from './guarded-output.js';
import { type TurnGuards } from './turn-guards.js';
import { maskItems } from './mask-items.js';
import { providerRequest, type TurnContexts } from './turn-context.js';
import { finished, type TurnOutcome } from './outcome.js';
import { ToolGate } from './prompt-tools.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { type Turn } from './turn.js';
import { type VerdictPart } from './awaited-verdicts.js';

export interface AnswerParts {
  readonly contexts: Pick<TurnContexts, 'contextOf'>;
  readonly guards: TurnGuards;
  readonly provider: Provider;
  readonly compaction: Pick<Compaction, 'apply'>;
}

/**
 * Answers a turn that is at the head of its conversation's queue.
 * @returns the outcome of the turn
 * @throws TurnStopped if the turn was stopped, SluiceError if the provider or the state store
 * failed
 */
export async function answer(
  turn: Turn,
  { contexts, guards, provider, compaction }: AnswerParts,
): Promise<TurnOutcome> {
  const { plan, journal, writer, facts, stop, trace } = turn;

  stop.signal.throwIfAborted();
  const judged = trace.guardingInput(() => guards.checkInput(plan.prompt, plan.request.input, stop.signal));
  const verdict = judged instanceof Promise ? await judged : judged;
  stop.signal.throwIfAborted();
  // The input guard has its verdict before `response.in_progress` and acts in the same tick, so a
  // turn logged as begun has either passed it or carries its refusal.
  journal.begin();
  facts.begun = true;
  facts.findings.push(...verdict.notes);
  if (verdict.deny !== undefined) {
    facts.findings.push(verdict.deny.finding);
    facts.inputRefused = true;
    facts.usage = ZERO_USAGE;
    writer.refusal(verdict.deny.message);
    return { end: 'completed' };
  }
  if (plan.request.generate === false) {
    facts.usage = ZERO_USAGE;
    return { end: 'completed' };
  }

  const context = await retryWhileUnavailable(() => contexts.contextOf(plan, turn.input, turn.recent), {
    wanted: () => !stop.signal.aborted,
    time: turn.time,
  });
  facts.context = context;
  facts.context = await compaction.apply(turn, context);
  const masked = guards.maskFor(plan.prompt);
  const { items, findings } = maskItems(masked, facts.context.items, plan.request.input);
  facts.findings.push(...findings);
  const guard = guards.forOutput(plan.prompt, {
    wrap: trace.guardingOutput,
    json: isJson(plan.request.textFormat),
    masked,
    signal: stop.signal,
    isSummary: plan.request.summarize === true,
  });
  const tools = new ToolGate(plan, facts.context.items);
  facts.providerCalled = true;
  const toSend = providerRequest(plan, items);
  const parts = trace.calling(toSend, (request) => provider.stream(request, stop.signal));
  // Errors while abandoning the provider stream must not change the outcome.
  for await (const part of ignoreCloseErrors(guard.beside(parts))) {
    stop.signal.throwIfAborted();
    const outcome = take(turn, guard, tools, part);
    if (outcome !== undefined) return outcome;
  }
  throw new SluiceError(
    'provider_stream_interrupted',
    'unable to finish the answer; the provider stream ended without a finish reason; try again',
  );
}

/**
 * Takes one part of the provider's stream.
 * @returns the outcome that ends the turn, or undefined; leaving the caller's loop aborts the
 * stream
 */
function take(
  turn: Turn,
  guard: GuardedOutput,
  tools: ToolGate,
  part: ProviderPart | VerdictPart,
): TurnOutcome | undefined {
  const { writer, facts } = turn;
  switch (part.type) {
    case 'start':
      facts.provider = part.provider;
      facts.model = part.model;
      facts.lost = part.lost ?? [];
      facts.providerRequestId = part.requestId ?? null;
      facts.retries = part.retries ?? 0;
      facts.fallback = part.fallback ?? false;
      return undefined;
    case 'text':
    case 'refusal':
      facts.produced += part.text;
      return guard.push(turn, part.type, part.text);
    case 'logprobs':
      writer.logprobs(guard.judges ? part.tokens.map(asWritten) : part.tokens);
      return undefined;
    case 'reasoning':
      facts.reasoned += part.text;
      return turn.plan.showReasoning ? guard.push(turn, 'reasoning', part.text) : undefined;
    case 'reasoning_summary':
      facts.summarized += part.text;
      return turn.plan.showReasoning ? guard.push(turn, part.type, part.text) : undefined;
    case 'function_call': {
      const stopped = guard.flush(turn);
      const refusal = tools.refusal(part.name);
      // Do not write a refused call. `pushArguments` then ignores its arguments too.
      if (refusal !== undefined) facts.findings.push(refusal);
      else if (stopped === undefined) writer.functionCall(part.index, part.callId, part.name, part.extra);
      return stopped;
    }
    case 'function_arguments':
      facts.produced += part.delta;
      return guard.pushArguments(turn, part.index, part.delta);
    case 'usage':
      facts.usage = part.usage;
      facts.usageEstimated = part.estimated;
      return undefined;
    case 'finish':
      return guard.finish(turn) ?? finished(part.reason);
    case 'verdict':
      return guard.settle(turn);
  }
}

/** Returns a token without its alternatives, because no guardrail has checked those. */
function asWritten(token: TokenLogprob): TokenLogprob {
  return { ...token, top_logprobs: [] };
}

function isJson(format: TextFormat | undefined): boolean {
  return format !== undefined && format.type !== 'text';
}
