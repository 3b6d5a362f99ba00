/*
 * The guardrail contract: a check on a turn's input or output, and its answer: allow, deny or note.
 * Compiled once, shared by all turns; a run belongs to one turn. Knows neither a turn nor where its
 * settings came from. Synchronous throughout, because it runs for every delta.
 */

/** A guardrail as configuration or a pack asks for it. */
export interface GuardrailSpec {
  readonly type: string;
  readonly enabled: boolean;
  readonly params: Readonly<Record<string, unknown>>;
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
 * Where output must end: everything before `position` (code units of the whole output) may be
 * shown, nothing from it on.
 */
export interface Stop extends Denial {
  readonly position: number;
}

export type Verdict =
  | { readonly decision: 'allow' }
  | { readonly decision: 'note'; readonly reason: string }
  | ({ readonly decision: 'deny' } & Denial);

/** A guardrail that is ready to use. Immutable, so all turns share it. */
export interface CompiledGuardrail {
  readonly type: string;
  /** Whether it judges how long a text is: then only new messages of the user are judged. */
  readonly measures?: boolean;
  /** Checks the input texts of a turn, one per message. Words never span two texts. */
  checkInput(texts: readonly string[]): Verdict;
  /** A fresh run over one turn's output. Called for every turn: cheap. */
  startOutput(): OutputRun;
}

/**
 * One guardrail's reading of one turn's output. The verdict must depend on the text alone, never on
 * where it was cut, and must be about the earliest position at which the text breaks the rule.
 */
export interface OutputRun {
  /**
   * Reads on. Returns how many code units of all text so far are safe for good: whatever follows,
   * this guardrail will not stop before that position. Never shrinks; once stopped it is the stop's
   * position.
   */
  push(text: string): number;
  /** No more text comes: what was undecided is decided. Returns like `push`. */
  end(): number;
  /** Set once the text is known to break the rule. */
  readonly stop: Stop | undefined;
  /**
   * Reasons of what it noted before `position` without denying it. Asked once, at the stop or the
   * end.
   */
  notesBefore?(position: number): readonly string[];
}
