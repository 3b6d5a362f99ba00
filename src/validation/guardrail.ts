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
 * Where output must end. Text before `position` (code units of the whole output) may be shown,
 * later text may not.
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
  /** Whether it judges the length of a text. Then only new messages of the user are judged. */
  readonly measures?: boolean;
  /** Checks the input texts of a turn, one per message. Words never span two texts. */
  checkInput(texts: readonly string[]): Verdict;
  /** Starts a run over one turn's output. Called for every turn, so it must be cheap. */
  startOutput(): OutputRun;
}

/**
 * The state of one guardrail for the output of one turn. The verdict must depend on the text alone,
 * never on where it was cut, and must be about the earliest position at which the text breaks the
 * rule.
 */
export interface OutputRun {
  /**
   * Reads more text. @returns how many code units of all text so far are safe permanently: this
   * guardrail will not stop before that position, whatever follows. Never shrinks. Once stopped, it
   * is the position of the stop.
   */
  push(text: string): number;
  /** Ends the text and decides what was undecided. @returns like `push` */
  end(): number;
  /** Set once the text is known to break the rule. */
  readonly stop: Stop | undefined;
  /**
   * Reasons that it noted before `position` without denying. Called once, at the stop or at the
   * end.
   */
  notesBefore?(position: number): readonly string[];
}
