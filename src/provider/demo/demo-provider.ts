/*
 * The built-in provider: answers without a model, deterministically and at human pace.
 * demo-replies.ts and demo-script.ts decide the answer; this file plays it.
 */

import { SluiceError } from '../../domain/errors.js';
import { itemText } from '../../domain/item.js';
import { type InputKind } from '../../domain/media.js';
import { type Usage } from '../../domain/response.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';
import { replyTo } from './demo-replies.js';
import { type DemoScript, words } from './demo-script.js';
import { Pace } from './pace.js';
import { type ProviderType } from '../provider-type.js';

export interface DemoProviderOptions {
  /** The name in `start` parts and in `response.sluice.provider`. */
  readonly name?: string;
  /** Milliseconds between two deltas. 0: as fast as the reader pulls. */
  readonly deltaIntervalMs?: number;
  /**
   * Returns the script to play. Absent: the script is chosen by the words and `demo:` lines of the
   * last user message.
   */
  readonly script?: (request: ProviderRequest) => DemoScript;
}

export class DemoProvider extends Provider {
  readonly #name: string;
  readonly #deltaIntervalMs: number;
  readonly #script: (request: ProviderRequest) => DemoScript;

  constructor(options: DemoProviderOptions = {}) {
    super();
    this.#name = options.name ?? 'demo';
    this.#deltaIntervalMs = options.deltaIntervalMs ?? 25;
    this.#script = options.script ?? replyTo;
  }

  /** Counts every delta as one output token, and the words of the request as input. */
  override async *stream(request: ProviderRequest, signal: AbortSignal): AsyncGenerator<ProviderPart> {
    signal.throwIfAborted();
    const script = this.#script(request);
    const pace = new Pace(script.deltaIntervalMs ?? this.#deltaIntervalMs, signal);
    const limit = request.maxOutputTokens ?? Infinity;
    let deltas = 0;
    let calls = 0;
    let cut = false;
    try {
      yield { type: 'start', provider: this.#name, model: request.model };
      for (const part of partsOf(script, request)) {
        if (part.type === 'wait') {
          await pace.wait(part.ms);
          continue;
        }
        if (part.type === 'hang') await pace.wait(Infinity);
        else if (part.type === 'error') throw scriptedError(part.code, part.retryAfterMs);
        else if (part.type === 'function_call') {
          yield { ...part, index: calls++ };
        } else if (deltas >= limit) {
          cut = true;
          break;
        } else {
          await pace.delta();
          deltas++;
          yield part.type === 'function_arguments' ? { ...part, index: calls - 1 } : part;
        }
      }
      yield { type: 'usage', usage: countUsage(request, deltas), estimated: false };
      yield { type: 'finish', reason: cut ? 'length' : (script.finish ?? (calls > 0 ? 'tool_calls' : 'stop')) };
    } finally {
      pace.end();
    }
  }
}

type Played =
  | Exclude<ProviderPart, { type: 'start' | 'usage' | 'finish' }>
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'hang' }
  | { readonly type: 'error'; readonly code: SluiceError['code']; readonly retryAfterMs?: number };

/**
 * Yields the script's steps as parts. A call becomes one `function_call` and its arguments in
 * pieces. `stream` adds the indexes.
 */
function* partsOf(script: DemoScript, request: ProviderRequest): Generator<Played> {
  // Derived from an item's id, so that call ids are the same for the same request and unique in a
  // conversation.
  const turn = request.items.at(-1)?.id.split('_').at(-1) ?? 'first';
  let calls = 0;
  for (const step of script.steps) {
    if (step.type !== 'call') {
      yield step;
      continue;
    }
    calls++;
    yield { type: 'function_call', index: 0, callId: `call_${turn}_${calls}`, name: step.name };
    for (const delta of step.arguments.match(/[^]{1,8}/gu) ?? []) yield { type: 'function_arguments', index: 0, delta };
  }
}

function scriptedError(code: SluiceError['code'], retryAfterMs: number | undefined): SluiceError {
  return new SluiceError(code, 'unable to finish the answer; a demo: line requests this failure; change that line', {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function countUsage(request: ProviderRequest, outputTokens: number): Usage {
  const inputTokens = request.items.reduce(
    (sum, item) => sum + words(itemText(item)).length,
    words(request.system).length,
  );
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

const TEXT_ONLY: ReadonlySet<InputKind> = new Set(['text']);

/** The built-in provider as an entry of the registry: no key, no address, no cost. */
export const demoType: ProviderType = {
  defaultModel: 'demo',
  remote: false,
  open: (_settings, { name }) =>
    Promise.resolve({ provider: new DemoProvider({ name }), close: () => Promise.resolve() }),
  refusesKey: () => Promise.resolve(false),
  takes: () => TEXT_ONLY,
  price: () => Promise.resolve(null),
};
