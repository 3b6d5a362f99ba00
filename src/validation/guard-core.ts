/*
 * Runs all guardrails over one text and decides how much of it is safe, where it ends and what is
 * recorded. Positions count code units of the judged text. Knows no released text: output-guard.ts
 * cuts it.
 */

import { type Finding } from '../domain/response.js';
import { type CompiledGuardrail, type Denial, type Edit, type OutputContext, type OutputRun } from './guardrail.js';

interface NamedRun {
  readonly type: string;
  readonly run: OutputRun;
}

/** The report on a text at its end. */
export interface Conclusion {
  readonly stop?: { readonly finding: Finding; readonly message: string };
  readonly notes: readonly Finding[];
}

export class GuardCore {
  readonly #runs: readonly OutputRun[];
  readonly #types: readonly string[];
  /** The safe position that each run reported last. */
  readonly #safe: number[];
  /** The runs that edit, with their decided edits. */
  readonly #editing: readonly { readonly type: string; readonly edits: Edit[] }[];
  /** Monitors that read what is released. */
  readonly #monitors: readonly NamedRun[];
  /** Monitors that need time for their verdicts; they read what is judged. */
  readonly #slowMonitors: readonly NamedRun[];
  readonly #judges: readonly CompiledGuardrail[];
  /** The whole text, kept only for guardrails that judge it as a whole. */
  #whole = '';
  #seen = 0;
  #decided = -1;
  /** Findings of edits that were applied. */
  readonly #notes: Finding[] = [];
  #failed: { readonly type: string; readonly denial: Denial; readonly monitors: boolean }[] = [];

  constructor(guardrails: readonly CompiledGuardrail[], context: OutputContext) {
    const enforced: NamedRun[] = [];
    const monitors: NamedRun[] = [];
    for (const { type, startOutput, monitors: only } of guardrails) {
      if (startOutput === undefined) continue;
      (only === true ? monitors : enforced).push({ type, run: startOutput(context) });
    }
    this.#runs = enforced.map(({ run }) => run);
    this.#types = enforced.map(({ type }) => type);
    this.#safe = enforced.map(() => 0);
    this.#editing = enforced.flatMap(({ type, run: { edits } }) => (edits === undefined ? [] : [{ type, edits }]));
    this.#monitors = monitors.filter(({ run }) => run.conclude === undefined);
    this.#slowMonitors = monitors.filter(({ run }) => run.conclude !== undefined);
    this.#judges = guardrails.filter(({ judgeWhole }) => judgeWhole !== undefined);
  }

  /** Whether the text is known to end at the last returned position. */
  get stopped(): boolean {
    return this.#decided !== -1;
  }

  /** Whether some edit waits for its release. */
  get edited(): boolean {
    return this.#editing.length > 0 && this.#editing.some(({ edits }) => edits.length > 0);
  }

  /**
   * Reads more text. @returns the position up to which text may be shown
   * @param source the text as it came, for guardrails that judge the whole
   */
  push(text: string, source: string): number {
    if (this.#judges.length > 0) this.#whole += source;
    this.#seen += text.length;
    let safe = this.#seen;
    let stopped = false;
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i] as OutputRun; // i is within bounds
      const own = run.push(text);
      this.#safe[i] = own;
      if (own < safe) safe = own;
      if (run.stop !== undefined) stopped = true;
    }
    for (const { run } of this.#slowMonitors) run.push(text);
    if (stopped) this.#decided = this.#decide(safe);
    return safe;
  }

  /** Ends the text. @param rest text that was not judged yet @returns like `push` */
  end(rest: string): number {
    if (rest !== '') this.push(rest, '');
    let safe = this.#seen;
    this.#runs.forEach((run, i) => {
      this.#safe[i] = run.end();
      safe = Math.min(safe, run.stop?.position ?? safe);
    });
    this.#decided = this.#decide(safe);
    if (this.#decided === -1) {
      for (const { type, judgeWhole, monitors = false } of this.#judges) {
        const denial = judgeWhole?.(this.#whole);
        if (denial !== undefined) this.#failed.push({ type, denial, monitors });
      }
    }
    return safe;
  }

  /** Passes released text to the monitors. */
  released(text: string): void {
    for (const { run } of this.#monitors) run.push(text);
  }

  /** Takes the decided edits that end at or before a position, in order and without overlaps. */
  editsBefore(position: number): readonly Edit[] {
    if (!this.edited) return NO_EDITS;
    const taken: Edit[] = [];
    for (const { edits, type } of this.#editing) {
      while (edits[0] !== undefined && edits[0].to <= position) {
        const [edit] = edits.splice(0, 1) as [Edit]; // the loop has seen it
        this.#notes.push(finding(type, 'redact', edit.reason, edit.from));
        taken.push(edit);
      }
    }
    let end = 0;
    return taken
      .sort((a, b) => a.from - b.from)
      .map((edit) => {
        const shown = edit.from < end ? { ...edit, replacement: '' } : edit;
        end = Math.max(end, edit.to);
        return shown;
      });
  }

  /** Returns the start of a decided edit that a cut at this position would split. */
  editAround(position: number): number | undefined {
    let from: number | undefined;
    for (const { edits } of this.#editing) {
      for (const edit of edits)
        if (edit.from < position && position < edit.to) from = Math.min(from ?? edit.from, edit.from);
    }
    return from;
  }

  /** Resolves when an outstanding verdict arrives; undefined if there is none. */
  waiting(): Promise<unknown> | undefined {
    const outstanding = this.#runs.flatMap(({ waiting }) => waiting ?? []);
    return outstanding.length === 0 ? undefined : Promise.race(outstanding);
  }

  /** Requests all verdicts on the ended text, and waits for them. */
  async conclude(): Promise<void> {
    const all = [...this.#runs, ...this.#slowMonitors.map(({ run }) => run)];
    for (const run of all) run.conclude?.();
    for (const run of all) while (run.waiting !== undefined) await run.waiting;
  }

  /** @param position where the released text ended */
  conclusion(position: number): Conclusion {
    for (const { run } of this.#monitors) run.end();
    for (const { run } of this.#slowMonitors) run.end();
    const monitored = [...this.#monitors, ...this.#slowMonitors].flatMap(
      ({ type, run: { stop, edits = [], notes = [] } }) => [
        ...notes.map(({ reason, position: at }) => finding(type, 'note', reason, at)),
        ...edits.map(({ reason, from }) => finding(type, 'note', reason, from)),
        ...(stop === undefined || stop.position >= position ? [] : [finding(type, 'note', stop.reason, stop.position)]),
      ],
    );
    const [first, ...others] = this.#failed.filter(({ monitors }) => !monitors);
    const noted = this.#runs.flatMap(({ notes = [] }, i) =>
      notes.map(({ reason, position: at }) => finding(this.#types[i] ?? '', 'note', reason, at)),
    );
    const notes = [
      ...this.#notes,
      ...noted,
      ...monitored,
      ...this.#failed
        .filter(({ monitors }) => monitors)
        .map(({ type, denial }) => finding(type, 'note', denial.reason, position)),
      ...others.map(({ type, denial }) => finding(type, 'deny', denial.reason, position)),
    ];
    const stop = this.#runs[this.#decided]?.stop;
    const type = this.#types[this.#decided] ?? '';
    if (stop !== undefined) {
      return { notes, stop: { finding: finding(type, 'deny', stop.reason, stop.position), message: stop.message } };
    }
    if (first === undefined) return { notes };
    const { denial } = first;
    return { notes, stop: { finding: finding(first.type, 'deny', denial.reason, position), message: denial.message } };
  }

  /**
   * The guardrail that stops the output at `position`, the smallest safe position of all runs, or
   * -1 if none does yet. The first in order has precedence, so a stop waits for earlier guardrails
   * that may still stop at the same position.
   */
  #decide(position: number): number {
    for (let i = 0; i < this.#runs.length; i++) {
      if (this.#safe[i] !== position) continue;
      return this.#runs[i]?.stop === undefined ? -1 : i;
    }
    return -1;
  }
}

const NO_EDITS: readonly Edit[] = [];

function finding(guardrail: string, decision: Finding['decision'], reason: string, position: number): Finding {
  return { guardrail, stage: 'output', decision, reason, position };
}
