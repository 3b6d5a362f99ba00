/*
 * Rebuilds a response from the events of its log. Reads events of any version that `serialize` has
 * written; knows no caller and no store.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { isTerminal, type LoggedEvent, type ResponseEvent, type TerminalEvent } from '../domain/event.js';
import { type ResponseObject } from '../domain/response.js';
import { type Time } from '../domain/time.js';
import { type EventLog } from '../state/event-log.js';

/** Events read at once. */
const PAGE = 500;

/** A response as its log describes it. */
export interface FoldedResponse {
  readonly owner: string;
  readonly response: ResponseObject;
  /** Number of the last event that it contains. */
  readonly sequence: number;
}

export interface FoldOptions {
  readonly time: Time;
  /** Whether the caller may see the responses of this owner in this conversation. */
  readonly reachable: (owner: string, conversation: string | null) => boolean;
  /** Whether to leave the terminal event out. */
  readonly beforeTerminal?: boolean;
}

/**
 * Folds a log into its response, a page in each round of the event loop.
 * @returns undefined if there is no log, or the caller may not see it
 */
export async function foldLog(
  events: Pick<EventLog, 'read'>,
  responseId: string,
  { time, reachable, beforeTerminal = false }: FoldOptions,
): Promise<FoldedResponse | undefined> {
  let accumulator: ResponseAccumulator | undefined;
  let sequence = -1;
  for (;;) {
    const page = await events.read(responseId, sequence, PAGE);
    if (page === undefined || !reachable(page.head.owner, page.head.conversationId)) return undefined;
    for (const logged of page.events) {
      if (beforeTerminal && isTerminal(logged.type)) break;
      const event = parseLogged(logged);
      if ('response' in event) accumulator ??= new ResponseAccumulator(event.response);
      accumulator?.apply(event);
      sequence = logged.sequence;
    }
    if ((page.events.at(-1)?.sequence ?? page.last) >= page.last) {
      const { owner } = page.head;
      return accumulator === undefined ? undefined : { owner, response: accumulator.response(), sequence };
    }
    await new Promise<void>((resolve) => time.soon(resolve));
  }
}

/** Parses a logged event. The log holds only what `serialize` wrote, so its shape is known. */
export function parseLogged(logged: LoggedEvent): ResponseEvent {
  return JSON.parse(logged.json) as ResponseEvent;
}

/** Returns the response that an event carries. */
export function responseIn(logged: LoggedEvent): ResponseObject {
  const event = parseLogged(logged);
  if (!('response' in event)) throw new Error(`unable to read a response from ${logged.type}`);
  return event.response;
}

/** Returns the terminal event of an ended response. */
export function terminalOf(response: ResponseObject): TerminalEvent {
  if (response.status === 'completed') return { type: 'response.completed', response };
  if (response.status === 'failed') return { type: 'response.failed', response };
  return { type: 'response.incomplete', response };
}

/** Returns an ended response as it was when it began. */
export function asBegun(response: ResponseObject): ResponseObject {
  const nothingYet = {
    completed_at: null,
    error: null,
    incomplete_details: null,
    usage: null,
    output: [],
    output_text: '',
  };
  return {
    ...response,
    ...nothingYet,
    status: 'in_progress',
    sluice: { ...response.sluice, kept: null, findings: [] },
  };
}
