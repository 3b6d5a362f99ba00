/*
 * The output guard filters the provider's text before any viewer receives it. It releases only text
 * that every guardrail has declared safe, and never takes released text back. How the text is cut
 * into deltas changes neither the verdict nor the released text.
 */

import { type Finding } from '../domain/response.js';
import { type CompiledGuardrail, type OutputRun, type Stop } from './guardrail.js';

export interface GuardStep {
  /** Text to show now. Continues the released text without a gap. */
  readonly release: string;
  /** The output ends after `release`. Text that is pushed later is dropped. */
  readonly stop?: { readonly finding: Finding; readonly message: string };
  /** With the last step only. */
  readonly notes?: readonly Finding[];
}

/** One turn's guard. Call `end` unless a step stopped it. */
export interface OutputGuard {
  push(text: string): GuardStep;
  end(): GuardStep;
}

/** Wraps a guard, for example to time its checks. */
export type WrapGuard = (guard: OutputGuard) => OutputGuard;

export function createOutputGuard(guardrails: readonly CompiledGuardrail[]): OutputGuard {
  return guardrails.length === 0 ? OPEN : new HoldingGuard(guardrails);
}

const NOTHING: GuardStep = { release: '' };

const OPEN: OutputGuard = {
  push: (text) => ({ release: text }),
  end: () => NOTHING,
};

class HoldingGuard implements OutputGuard {
  private readonly runs: readonly OutputRun[];
  /** The safe position that each run reported last. */
  private readonly safe: number[];
  private readonly types: readonly string[];

  private seen = 0;
  private released = 0;
  /** All text from `released` to `seen`. */
  private held = '';
  private over = false;

  constructor(guardrails: readonly CompiledGuardrail[]) {
    this.runs = guardrails.map((guardrail) => guardrail.startOutput());
    this.safe = guardrails.map(() => 0);
    this.types = guardrails.map((guardrail) => guardrail.type);
  }

  push(text: string): GuardStep {
    if (this.over || text === '') return NOTHING;
    this.seen += text.length;
    let safe = this.seen;
    let stopped = false;
    for (let i = 0; i < this.runs.length; i++) {
      const run = this.runs[i] as OutputRun; // i is within bounds
      const own = run.push(text);
      this.safe[i] = own;
      if (own < safe) safe = own;
      if (run.stop !== undefined) stopped = true;
    }
    if (stopped) {
      const decided = this.decide(safe);
      if (decided !== -1) return this.finish(text, safe, decided);
    }
    // Half a surrogate pair cannot be shown.
    if (safe === this.seen && isHighSurrogate(text.charCodeAt(text.length - 1))) safe--;
    return { release: this.release(text, safe) };
  }

  end(): GuardStep {
    if (this.over) return NOTHING;
    let safe = this.seen;
    this.runs.forEach((run, i) => {
      this.safe[i] = run.end();
      safe = Math.min(safe, run.stop?.position ?? safe);
    });
    return this.finish('', safe, this.decide(safe));
  }

  /**
   * The guardrail that stops the output at `position`, the smallest safe position of all runs, or
   * -1 if none does yet. The first in order has precedence, so a stop waits for earlier guardrails
   * that may still stop at the same position.
   */
  private decide(position: number): number {
    for (let i = 0; i < this.runs.length; i++) {
      if (this.safe[i] !== position) continue;
      return this.runs[i]?.stop === undefined ? -1 : i;
    }
    return -1;
  }

  private finish(text: string, position: number, decided: number): GuardStep {
    this.over = true;
    const release = this.release(text, position);
    this.held = '';
    const notes = this.runs.flatMap((run, i) =>
      (run.notesBefore?.(position) ?? []).map((reason) => this.finding(i, 'note', reason)),
    );
    const stop = this.runs[decided]?.stop;
    return {
      release,
      ...(stop === undefined ? {} : { stop: this.stopStep(decided, stop) }),
      ...(notes.length === 0 ? {} : { notes }),
    };
  }

  private stopStep(index: number, { reason, message }: Stop): NonNullable<GuardStep['stop']> {
    return { finding: this.finding(index, 'deny', reason), message };
  }

  private finding(index: number, decision: Finding['decision'], reason: string): Finding {
    return { guardrail: this.types[index] ?? '', stage: 'output', decision, reason };
  }

  /** Returns all unreleased text before `position`. `text` is the newest piece. */
  private release(text: string, position: number): string {
    const count = position - this.released;
    this.released = position;
    if (this.held === '' && count === text.length) return text;
    // Concatenation keeps references only; characters are copied when they are released.
    const all = this.held + text;
    if (count === 0) {
      this.held = all;
      return '';
    }
    this.held = all.slice(count);
    return all.slice(0, count);
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
