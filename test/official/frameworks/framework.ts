/*
 * What the matrix of frameworks needs of each: one dialogue with one tool, in the framework's
 * default settings.
 */

export interface Question {
  readonly text: string;
  /** Whether the framework streams the answer. */
  readonly stream: boolean;
  /** Called with the text so far when more arrives; only for streams. */
  readonly onText?: (soFar: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * A dialogue whose history the framework keeps, or the application as the framework's documentation
 * shows.
 */
export interface Dialogue {
  /**
   * Sends the user's next message, runs the tools that the model calls, and reads the answer to its
   * end.
   * @returns the text of the answer, as far as it came before an abort
   * @throws the framework's own error if the turn failed
   */
  ask(question: Question): Promise<string>;
  close?(): Promise<void>;
}

export interface Framework {
  readonly name: string;
  /**
   * Whether leaving a stream ends the turn at the gateway, because no client could read the rest.
   */
  readonly abortEndsTurn: boolean;
  /** What the framework itself gets wrong, with any server. */
  readonly mistake?: 'ignores a failed stream' | 'throws on a refusal that is not streamed';
  /** @param settings what the dialogue sets beside the framework's defaults */
  open(gateway: { readonly url: string }, settings?: DialogueSettings): Promise<Dialogue>;
}

/** The one tool of every dialogue. */
export const WEATHER = {
  name: 'get_weather',
  description: 'The weather of a city',
  run: ({ city }: { readonly city: string }): string => `sunny in ${city}`,
} as const;

/**
 * What a dialogue with failing turns sets. AI SDK and LangChain repeat every 5xx with growing
 * pauses, although `x-should-retry` says no, so each failure would take up to a minute.
 */
export interface DialogueSettings {
  readonly maxRetries?: 0;
}

/** Whether the framework ended the call because the application aborted it. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && /abort/iu.test(`${error.name} ${error.message}`);
}
