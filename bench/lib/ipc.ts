/*
 * What the conductor asks its processes over IPC, and the one question-and-answer form they all
 * use.
 */

import { type ChildProcess } from 'node:child_process';

/** How the load generator talks to a system. */
type Dialect = 'responses-ws' | 'ui-sse' | 'chat-sse';

export interface Target {
  readonly dialect: Dialect;
  readonly url: string;
  /** Sent with each request over HTTP. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoadPlan {
  /** Connections are spread over these in turn. */
  readonly targets: readonly Target[];
  /** Streams at a time, each on its own connection; a stream that ends starts again. */
  readonly streams: number;
  /** Provider deltas of one response. */
  readonly deltas: number;
  /** Whether each connection creates a conversation, in which its responses run. */
  readonly conversations?: boolean;
}

/** What the hostile client does (neighbour.ts). */
export interface AnnoyancePlan {
  /** A socket of the gateway. */
  readonly url: string;
  /** Frames of each kind. */
  readonly perSecond: number;
  readonly seconds: number;
}

/** Counts by kind of hostile frame. */
export interface Annoyance {
  readonly sent: Record<string, number>;
  readonly answered: Record<string, number>;
  /** By kind and close code. */
  readonly closed: Record<string, number>;
  /** Not sent, because the gateway did not read. */
  readonly heldBack: Record<string, number>;
}

export interface Questions {
  /** Of every Node process (probe.ts). */
  readonly cpu: { readonly ask: 'cpu' };
  /** After garbage collection. */
  readonly memory: { readonly ask: 'memory' };
  /** Without. */
  readonly held: { readonly ask: 'held' };
  readonly profile: { readonly ask: 'profile'; readonly file: string | null };
  /** Of the provider. */
  readonly pace: { readonly ask: 'pace'; readonly perSecond: number };
  readonly provided: { readonly ask: 'provided' };
  /** Of the load generator. */
  readonly streams: { readonly ask: 'streams'; readonly plan: LoadPlan };
  /** Answered when all responses have ended. */
  readonly burst: { readonly ask: 'burst'; readonly plan: LoadPlan };
  readonly idle: { readonly ask: 'idle'; readonly targets: readonly Target[]; readonly connections: number };
  readonly fanout: {
    readonly ask: 'fanout';
    readonly targets: readonly Target[];
    readonly viewers: number;
    readonly deltas: number;
  };
  readonly reset: { readonly ask: 'reset' };
  /** Of the hostile client. */
  readonly annoy: { readonly ask: 'annoy'; readonly plan: AnnoyancePlan };
  readonly annoyance: { readonly ask: 'annoyance' };
  readonly tally: { readonly ask: 'tally' };
  readonly stop: { readonly ask: 'stop' };
}

export interface Answers {
  /** `waits`: voluntary context switches of all threads. */
  readonly cpu: { readonly micros: number; readonly waits: number };
  readonly memory: { readonly rss: number; readonly heap: number };
  readonly held: { readonly rss: number; readonly heap: number };
  readonly profile: null;
  readonly pace: null;
  readonly provided: { readonly sent: number; readonly late: number; readonly active: number };
  readonly streams: null;
  readonly burst: null;
  readonly idle: null;
  readonly fanout: null;
  readonly reset: null;
  readonly annoy: null;
  readonly annoyance: Annoyance;
  readonly tally: TallyReport;
  readonly stop: null;
}

interface TallyReport {
  readonly deltas: number;
  readonly events: number;
  readonly responses: number;
  readonly failures: number;
  readonly firstFailure: string;
  readonly latencyMs: readonly number[];
  readonly firstDeltaMs: readonly number[];
}

type Name = keyof Questions;
interface Envelope {
  readonly id: number;
  readonly question: Questions[Name];
}
interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

let lastId = 0;

/** Asks a child process. Rejects where it ends without an answer or answers with an error. */
export function ask<N extends Name>(
  child: ChildProcess,
  question: Questions[N] & { readonly ask: N },
): Promise<Answers[N]> {
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      child.off('message', onMessage);
      child.off('exit', onExit);
      end();
    };
    const onMessage = (message: unknown): void => {
      // What comes over this channel was sent by `answerQuestions` below.
      const reply = message as Reply;
      if (reply.id !== id) return;
      settle(() =>
        reply.error === undefined
          ? resolve(reply.answer as Answers[N])
          : reject(new Error(`${question.ask}: ${reply.error}`)),
      );
    };
    const onExit = (): void => settle(() => reject(new Error(`unable to get ${question.ask}; the process has ended`)));
    child.on('message', onMessage);
    child.on('exit', onExit);
    const envelope: Envelope = { id, question };
    child.send(envelope);
  });
}

export type Answerers = { readonly [N in Name]?: (question: Questions[N]) => Answers[N] | Promise<Answers[N]> };

/**
 * Answers the conductor in this process; questions that have no answerer here are left to another
 * caller of this function.
 */
export function answerQuestions(answerers: Answerers): void {
  process.on('message', (message: unknown) => {
    const { id, question } = message as Envelope;
    // The cast: the table's type ties each name to its own question, which the compiler cannot
    // follow through an index.
    const answerer = answerers[question.ask] as ((question: Questions[Name]) => unknown) | undefined;
    if (answerer === undefined) return;
    Promise.resolve()
      .then(() => answerer(question))
      .then(
        (answer) => process.send?.({ id, answer: answer ?? null }),
        (error: unknown) =>
          process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
      );
  });
}
