/*
 * The guardrail contract: a check on a turn's input or output, and its answer: allow, deny, note or
 * redact. Compiled once, shared by all turns; a run belongs to one turn. Knows neither a turn nor
 * where its settings came from. What runs for every delta is synchronous. Only a guardrail that
 * requests a verdict from a server (`checkInputLater`, `OutputRun.waiting`) takes time.
 */

export const DIRECTIONS = ['input', 'output', 'both'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** A guardrail as configuration or a pack defines it. */
export interface GuardrailSpec {
  /** A name of `kinds.ts`. */
  readonly type: string;
  readonly enabled: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  /** What it checks. Absent: the default of its kind. */
  readonly direction?: Direction | undefined;
  /** `monitor` records findings and changes nothing. Default: `enforce`. */
  readonly mode?: 'enforce' | 'monitor' | undefined;
  /** Whether the whole answer is held until it is judged. */
  readonly buffer?: boolean | undefined;
  /** The decision if no verdict arrives. Default: `deny`. */
  readonly onError?: 'allow' | 'deny' | undefined;
  /** Milliseconds to wait for a verdict. */
  readonly timeoutMs?: number | undefined;
  /** Message for the user instead of the guardrail's own. */
  readonly message?: string | undefined;
}

export interface Denial {
  /** Short and machine-readable: `banned_word`, `too_long`. */
  readonly reason: string;
  /** Message for the user. Never repeats the refused text. */
  readonly message: string;
}

/**
 * Where output must end. Text before `position` (code units of the whole output) may be shown,
 * later text may not.
 */
export interface Stop extends Denial {
  readonly position: number;
}

/** Text to show in place of the output's code units from `from` to `to`. */
export interface Edit {
  readonly from: number;
  readonly to: number;
  readonly replacement: string;
  /** What was found, such as `email`. */
  readonly reason: string;
}

export interface RunNote {
  readonly reason: string;
  readonly position: number;
}

/** On input `position` counts code units of the text in which it was found. */
export type Verdict =
  | { readonly decision: 'allow' }
  | ({ readonly decision: 'note' } & RunNote)
  | ({ readonly decision: 'deny'; readonly position: number } & Denial);

export const ALLOW: Verdict = { decision: 'allow' };

/** A guardrail that is ready to use. Immutable, so all turns share it. */
export interface CompiledGuardrail {
  readonly type: string;
  /** Whether it judges the length of a text. Then only new messages of the user are judged. */
  readonly measures?: boolean;
  /** Whether it judges the text of an answer only, and no reasoning, refusal or argument. */
  readonly answerOnly?: boolean;
  /** Whether the whole answer is held until all guardrails have judged it. */
  readonly buffer?: boolean;
  /** Whether it records findings only. */
  readonly monitors?: boolean;
  /** Whether its verdicts on output take time. */
  readonly slow?: boolean;
  /** Replaces what it finds in input before a provider receives it. */
  readonly mask?: Mask;
  /**
   * Checks the input texts of a turn, one per message. Words never span two texts. Absent: it does
   * not judge input, or only by `checkInputLater`.
   */
  checkInput?(texts: readonly string[]): Verdict;
  /** Checks input by a verdict that takes time. Rejects only if `signal` aborts. */
  checkInputLater?(texts: readonly string[], signal: AbortSignal): Promise<Verdict>;
  /** Starts a run over one text of a turn's output. Called for each text, so it must be cheap. */
  startOutput?(context: OutputContext): OutputRun;
  /** Judges a whole text at its end. @returns why it is denied, or undefined */
  judgeWhole?(text: string): Denial | undefined;
}

/** What the runs of one turn share. */
export interface OutputContext {
  /** Aborts verdicts that are outstanding. */
  readonly signal: AbortSignal;
  /** Values of the caller's own input that were masked and may be shown again. */
  readonly known?: ReadonlySet<string> | undefined;
}

/** Finds what must be replaced in a text. */
export interface Mask {
  /** @returns the findings in order, without overlaps */
  find(text: string): readonly Edit[];
}

/**
 * The state of one guardrail for one text of a turn's output. The verdict must depend on the text
 * alone, not on its cuts, and must be about the earliest position at which the text breaks the
 * rule.
 */
export interface OutputRun {
  /**
   * Reads more text. @returns how many code units of all text so far are safe permanently: this
   * guardrail will not stop or edit before that position, whatever follows. Never shrinks. Once
   * stopped, it is the position of the stop. An empty text reads nothing and returns the current
   * position.
   */
  push(text: string): number;
  /** Ends the text and decides what was undecided. @returns like `push` */
  end(): number;
  /** Set when the text is known to break the rule. */
  readonly stop: Stop | undefined;
  /** Decided edits in order; the guard takes them out as it releases text. */
  readonly edits?: Edit[];
  /** Findings that do not deny the text. */
  readonly notes?: readonly RunNote[];
  /** Resolves when a requested verdict has arrived. Undefined: none is outstanding. */
  readonly waiting?: Promise<void> | undefined;
  /** Requests all verdicts, because the text has ended. */
  conclude?(): void;
}
