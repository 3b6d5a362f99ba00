/*
 * State of this tab that outlives a reload: the key, questions that the gateway has not confirmed,
 * and times that only this page has measured.
 */

export interface PendingQuestion {
  readonly conversation: string;
  readonly question: string;
  /** Data URLs of images. */
  readonly pictures?: readonly string[];
  /** Idempotency key: sending the question again creates no second turn. */
  readonly key: string;
  readonly prompt: PromptChoice | null;
}

export interface PromptChoice {
  readonly id: string;
  readonly variables?: Readonly<Record<string, string | number | boolean>>;
}

/** Milliseconds until the first delta, and until the end. */
export interface Timing {
  readonly firstMs: number | null;
  readonly totalMs: number;
}

interface Remembered {
  token: string;
  pending: PendingQuestion[];
  /** By response id. */
  timings: Record<string, Timing>;
}

const KEY = 'sluice.playground.2';
const TIMINGS_KEPT = 200;

export class Memory {
  readonly #state: Remembered = { token: '', pending: [], timings: {} };

  constructor() {
    try {
      // Written by this same class.
      Object.assign(this.#state, JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Partial<Remembered>);
    } catch {
      // Unreadable storage counts as empty.
    }
  }

  get token(): string {
    return this.#state.token;
  }
  set token(token: string) {
    this.#state.token = token;
    this.#save();
  }

  get pending(): readonly PendingQuestion[] {
    return this.#state.pending;
  }
  set pending(pending: readonly PendingQuestion[]) {
    this.#state.pending = [...pending];
    this.#save();
  }

  timing(responseId: string): Timing | null {
    return this.#state.timings[responseId] ?? null;
  }

  keepTiming(responseId: string, timing: Timing): void {
    const kept = Object.entries(this.#state.timings).slice(1 - TIMINGS_KEPT);
    this.#state.timings = Object.fromEntries([...kept, [responseId, timing]]);
    this.#save();
  }

  /** Removes everything that belongs to the present credential. */
  forget(): void {
    Object.assign(this.#state, { token: '', pending: [], timings: {} } satisfies Remembered);
    this.#save();
  }

  #save(): void {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(this.#state));
    } catch {
      // Storage is full or forbidden: the page works, but a reload loses this state.
    }
  }
}
