/*
 * Guardrails whose verdict another server gives. Output is judged in windows that end with a
 * sentence, several at the same time. A window is held until its verdict arrives, while later text
 * is still read. The windows depend on the text alone.
 */

import {
  ALLOW,
  type CompiledGuardrail,
  type Denial,
  type OutputContext,
  type OutputRun,
  type RunNote,
  type Stop,
  type Verdict,
} from '../guardrail.js';
import { type JudgeName, type KindContext } from '../kind-context.js';

/** The verdict on one text. `reason` is short and machine-readable. */
interface Judgement {
  readonly denied: boolean;
  readonly reason: string;
}

/** Judges one text. @throws any error if there is no verdict */
export type Judge = (text: string, signal: AbortSignal) => Promise<Judgement>;

export interface JudgedOptions {
  readonly type: string;
  readonly judge: Judge;
  readonly judgedBy: JudgeName;
  readonly context: KindContext;
  readonly onInput: string;
  readonly onOutput: string;
}

/** Code units of a window before the end of a sentence may end it. */
const SHORTEST_WINDOW = 80;
/** Code units at which a window ends without the end of a sentence. */
const LONGEST_WINDOW = 2_000;
/** Code units of input in one request. */
const LONGEST_INPUT = 16_000;
const BETWEEN = '\n\n';
const IN_FLIGHT = 4;
/** The reason of a finding if the judge did not answer. */
const UNAVAILABLE = 'unavailable';
const COULD_NOT_CHECK = 'This could not be checked, so it is not allowed. Try again later.';
/** The end of a sentence, certain because the next one has begun. */
const SENTENCE_END = /[.!?\u3002\uff01\uff1f]["')\]\u201d\u2019]*\s+(?=\S)|\n+(?=\S)/gu;

export class Judged implements CompiledGuardrail {
  readonly type: string;
  readonly slow = true;

  constructor(private readonly options: JudgedOptions) {
    this.type = options.type;
  }

  async checkInputLater(texts: readonly string[], signal: AbortSignal): Promise<Verdict> {
    const { context, onInput } = this.options;
    const all = texts.join(BETWEEN);
    const judgements = [];
    for (let at = 0; at < all.length; at += LONGEST_INPUT) {
      judgements.push(judged(this.options, all.slice(at, at + LONGEST_INPUT), signal));
    }
    const settled = await Promise.all(judgements);
    const at = settled.findIndex(({ denied, failed }) => denied || failed);
    const found = settled[at];
    if (found === undefined) return ALLOW;
    const { reason } = found;
    const position = positionIn(texts, at * LONGEST_INPUT);
    if (!found.denied) return { decision: 'note', reason, position };
    return { decision: 'deny', reason, position, message: messageOf(found, context, onInput) };
  }

  startOutput({ signal }: OutputContext): OutputRun {
    return new JudgedRun(this.options, signal);
  }
}

interface Settled extends Judgement {
  readonly failed: boolean;
}

/** Sends one request, with its timeout. Never rejects: for an error, `on_error` decides. */
async function judged(options: JudgedOptions, text: string, signal: AbortSignal): Promise<Settled> {
  const { judge, judgedBy, context } = options;
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(context.timeoutMs)]);
    const judgement = await judge(text, within);
    context.judges?.onVerdict?.(judgedBy);
    return { ...judgement, failed: false };
  } catch (error) {
    // A turn that was cancelled waits for no verdict.
    if (!signal.aborted) context.judges?.onVerdict?.(judgedBy, error);
    return { denied: context.onError === 'deny', reason: UNAVAILABLE, failed: true };
  }
}

/** The position, in its own text, of a position in the joined texts. */
function positionIn(texts: readonly string[], position: number): number {
  let from = 0;
  for (const { length } of texts) {
    if (position < from + length + BETWEEN.length) return Math.min(position - from, length);
    from += length + BETWEEN.length;
  }
  return 0;
}

function messageOf({ failed }: Settled, { message }: KindContext, own: string): string {
  return message ?? (failed ? COULD_NOT_CHECK : own);
}

interface Window {
  readonly from: number;
  readonly text: string;
  verdict: Settled | undefined;
  requested: boolean;
}

class JudgedRun implements OutputRun {
  stop: Stop | undefined;
  readonly notes: RunNote[] = [];
  waiting: Promise<void> | undefined;
  #seen = 0;
  /** Text after the last window. */
  #tail = '';
  #windows: Window[] = [];
  #inFlight = 0;
  #arrived: PromiseWithResolvers<void> | undefined;

  constructor(
    private readonly options: JudgedOptions,
    private readonly signal: AbortSignal,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    this.#seen += text.length;
    this.#tail += text;
    for (let end = endOfWindow(this.#tail); end !== undefined; end = endOfWindow(this.#tail)) this.#close(end);
    return this.#safe();
  }

  end(): number {
    return this.#safe();
  }

  conclude(): void {
    if (this.stop === undefined && this.#tail !== '') this.#close(this.#tail.length);
  }

  #safe(): number {
    while (this.#windows[0]?.verdict !== undefined) {
      const [{ from, verdict }] = this.#windows as [Window & { verdict: Settled }]; // the loop has seen it
      if (verdict.denied) {
        this.stop ??= { position: from, ...this.#denial(verdict) };
        return from;
      }
      if (verdict.failed) this.notes.push({ reason: verdict.reason, position: from });
      this.#windows.shift();
    }
    return this.#windows[0]?.from ?? this.#seen - this.#tail.length;
  }

  #denial(verdict: Settled): Denial {
    const { context, onOutput } = this.options;
    return { reason: verdict.reason, message: messageOf(verdict, context, onOutput) };
  }

  #close(length: number): void {
    const from = this.#seen - this.#tail.length;
    this.#windows.push({ from, text: this.#tail.slice(0, length), verdict: undefined, requested: false });
    this.#tail = this.#tail.slice(length);
    this.#request();
  }

  #request(): void {
    for (const window of this.#windows) {
      if (this.#inFlight >= IN_FLIGHT) break;
      if (window.requested) continue;
      window.requested = true;
      this.#inFlight += 1;
      void judged(this.options, window.text, this.signal).then((verdict) => this.#arrive(window, verdict));
    }
    this.#arrived ??= Promise.withResolvers();
    this.waiting = this.#arrived.promise;
  }

  #arrive(window: Window, verdict: Settled): void {
    window.verdict = verdict;
    this.#inFlight -= 1;
    const arrived = this.#arrived;
    this.#arrived = undefined;
    this.waiting = undefined;
    // A denied window ends the text, so later ones need no verdict.
    this.#safe();
    if (this.stop === undefined && this.#windows.some((one) => one.verdict === undefined)) this.#request();
    arrived?.resolve();
  }
}

/** Returns the end of the first window of a text, or undefined if more text may belong to it. */
function endOfWindow(text: string): number | undefined {
  if (text.length < SHORTEST_WINDOW) return undefined;
  SENTENCE_END.lastIndex = SHORTEST_WINDOW;
  // A part of the provider's stream may have any length. Search only as much as a window can hold.
  const found = SENTENCE_END.exec(text.slice(0, LONGEST_WINDOW + 2));
  if (found !== null && SENTENCE_END.lastIndex <= LONGEST_WINDOW) return SENTENCE_END.lastIndex;
  if (text.length <= LONGEST_WINDOW) return undefined;
  const lead = text.charCodeAt(LONGEST_WINDOW - 1);
  return lead >= 0xd800 && lead <= 0xdbff ? LONGEST_WINDOW - 1 : LONGEST_WINDOW;
}
