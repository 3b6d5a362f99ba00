/* The context in which a guardrail is compiled, beside its params. */

/** The `moderations` endpoint, or a model. */
export type JudgeName = 'moderation' | 'model';

/** Servers that judge texts. Each call rejects if the server fails or `signal` aborts. */
export interface Judges {
  /** OpenAI's `moderations` endpoint. @returns the score of each category, from 0 to 1 */
  moderate?(text: string, model: string | undefined, signal: AbortSignal): Promise<Readonly<Record<string, number>>>;
  /** Sends `text` to a model under `instructions`. @returns the answer of the model */
  ask?(instructions: string, text: string, model: string | undefined, signal: AbortSignal): Promise<string>;
  /** Called for each verdict of one of them, with the error if there is none. */
  onVerdict?(judge: JudgeName, error?: unknown): void;
}

export interface KindContext {
  /** The operator's message for the user. */
  readonly message: string | undefined;
  readonly onError: 'allow' | 'deny';
  readonly timeoutMs: number;
  /** Absent while a list is only checked. */
  readonly judges: Judges | undefined;
}
