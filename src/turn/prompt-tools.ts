/*
 * What a turn does with tools: those of the request, those that its prompt offers, and the prompt's
 * policy. The client runs the calls, so limits count over the answers since the last message of the
 * user.
 */

import { SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { type ResponseRequest, type Sampling } from '../domain/request.js';
import { type Finding, type FunctionTool, type SentToolChoice, type ToolChoice } from '../domain/response.js';
import { type PromptTools, type RenderedPrompt } from '../templating/prompt.js';

/** The part of a turn's plan that decides on tools. */
interface ToolPlan {
  readonly request: ResponseRequest;
  readonly prompt: RenderedPrompt | null;
}

/** Returns the tools of the prompt, then those of the request. A name counts once. */
export function toolsOf({ request, prompt }: ToolPlan): readonly FunctionTool[] {
  if (prompt === null) return request.tools ?? [];
  const { offered, choice } = prompt.tools;
  if (choice === 'none') return [];
  const names = new Set(offered.map(({ name }) => name));
  return [...offered, ...(request.tools ?? []).filter(({ name }) => !names.has(name))];
}

/**
 * Returns the tool choice of the next answer. A prompt that requires a call requires it once: the
 * answer to its output may be text. When the prompt's limits are reached, the model may not call.
 * @param items the context of the turn. Absent: the choice as the turn begins
 */
export function toolChoiceOf({ request, prompt }: ToolPlan, items: readonly Item[] = []): ToolChoice {
  const asked = request.toolChoice ?? 'auto';
  if (prompt === null) return asked;
  const { choice, maxRounds, maxCalls } = prompt.tools;
  if (choice === 'none') return 'none';
  const { rounds, calls } = sinceUser(items);
  if (rounds >= (maxRounds ?? Infinity) || calls >= (maxCalls ?? Infinity)) return 'none';
  if (request.toolChoice !== undefined || choice !== 'required' || rounds > 0) return asked;
  return toolsOf({ request, prompt }).length > 0 ? 'required' : 'auto';
}

/**
 * Returns the tools and the choice that a provider is sent. From a set of allowed tools only those
 * are sent, because few servers accept such a choice.
 */
export function sentTools(
  plan: ToolPlan,
  items: readonly Item[],
): { readonly tools: readonly FunctionTool[]; readonly toolChoice: SentToolChoice } {
  const choice = toolChoiceOf(plan, items);
  const tools = toolsOf(plan);
  if (typeof choice === 'string' || choice.type === 'function') return { tools, toolChoice: choice };
  const allowed = new Set(choice.tools.map(({ name }) => name));
  return { tools: tools.filter(({ name }) => allowed.has(name)), toolChoice: choice.mode };
}

/** Returns the sampling of the answer: that of the request, else that of the prompt. */
export function samplingOf({ request, prompt }: ToolPlan): Sampling | undefined {
  const { frequencyPenalty, presencePenalty } = prompt?.parameters ?? {};
  if (frequencyPenalty === undefined && presencePenalty === undefined) return request.sampling;
  return {
    ...(frequencyPenalty === undefined ? {} : { frequencyPenalty }),
    ...(presencePenalty === undefined ? {} : { presencePenalty }),
    ...request.sampling,
  };
}

/**
 * Refuses tools and choices that the prompt forbids, and a choice that fits no tool.
 * @throws SluiceError `parameter_not_allowed`, `invalid_value`
 */
export function checkTools(plan: ToolPlan): void {
  const { request, prompt } = plan;
  const { toolChoice: asked } = request;
  const at = (request.tools ?? []).findIndex(({ name }) => prompt !== null && !mayCall(prompt.tools, name));
  if (at >= 0) refuseByPrompt(`tools[${at}].name`);
  if (prompt?.tools.choice === 'none') {
    if (asked === undefined || asked === 'none' || asked === 'auto') return;
    refuseByPrompt('tool_choice');
  }
  const tools = toolsOf(plan);
  if (asked === 'required' && tools.length === 0) refuseChoice("'required' needs tools; send at least one");
  const named = typeof asked !== 'object' ? [] : asked.type === 'function' ? [asked] : asked.tools;
  if (named.some((one) => !tools.some(({ name }) => name === one.name))) {
    refuseChoice('names a function that is not in tools; add it');
  }
}

/** Decides which calls of an answer reach the client. One for each turn. */
export class ToolGate {
  readonly #tools: PromptTools | undefined;
  #left: number;

  /** @param items the context of the turn, of which calls of earlier answers count */
  constructor({ prompt }: ToolPlan, items: readonly Item[]) {
    this.#tools = prompt?.tools;
    const most = this.#tools?.maxCalls ?? null;
    this.#left = most === null ? Infinity : Math.max(0, most - sinceUser(items).calls);
  }

  /**
   * Returns why a call may not reach the client, or undefined if it may. Must be called once for
   * each call, because it counts.
   */
  refusal(name: string): Finding | undefined {
    const tools = this.#tools;
    if (tools === undefined) return undefined;
    if (tools.choice === 'none' || !mayCall(tools, name)) return finding('blocked_tool');
    if (this.#left === 0) return finding('too_many_calls');
    this.#left -= 1;
    return undefined;
  }
}

function finding(reason: string): Finding {
  return { guardrail: 'tool_policy', stage: 'output', decision: 'deny', reason };
}

function mayCall({ only, blocked }: PromptTools, name: string): boolean {
  return !blocked.has(name) && (only === null || only.has(name));
}

/** Counts the calls, and the answers with calls, since the last message of the user. */
function sinceUser(items: readonly Item[]): { readonly rounds: number; readonly calls: number } {
  const start = items.findLastIndex((item) => item.type === 'message' && item.role !== 'assistant');
  let calls = 0;
  let rounds = 0;
  items.slice(start + 1).forEach((item, i, recent) => {
    if (item.type !== 'function_call') return;
    calls += 1;
    if (recent[i - 1]?.type !== 'function_call') rounds += 1;
  });
  return { rounds, calls };
}

function refuseByPrompt(param: string): never {
  throw new SluiceError('parameter_not_allowed', `unable to accept ${param}; the prompt forbids it; leave it out`, {
    param,
  });
}

function refuseChoice(why: string): never {
  throw new SluiceError('invalid_value', `unable to create a response; tool_choice ${why}`, { param: 'tool_choice' });
}
