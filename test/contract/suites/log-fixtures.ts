/* Heads and events for suites that write logs, short and with a text that contains their number. */

import { type LoggedEvent, type ResponseEvent, serialize } from '../../../src/domain/event.js';
import { newId } from '../../../src/domain/ids.js';
import { type ResponseObject } from '../../../src/domain/response.js';
import { type LogHead } from '../../../src/state/event-log.js';

export function headOf(fields: Partial<LogHead> = {}): LogHead {
  const responseId = newId('resp');
  return {
    responseId,
    owner: 'tenant/ann',
    conversationId: null,
    store: true,
    input: [
      {
        item: {
          type: 'message',
          id: 'msg_1',
          role: 'user',
          status: 'completed',
          content: [{ type: 'input_text', text: 'Hi “there”\n' }],
        },
        responseId,
        withheld: false,
      },
    ],
    ...fields,
  };
}

/** A delta numbered `sequence`. */
export function delta(sequence: number, text = `word ${sequence} `): LoggedEvent {
  const event: ResponseEvent = {
    type: 'response.output_text.delta',
    item_id: 'msg_2',
    output_index: 0,
    content_index: 0,
    delta: text,
    logprobs: [],
  };
  return serialize(event, sequence);
}

/** Deltas numbered `from` to `to`, both included. */
export function deltas(from: number, to: number): LoggedEvent[] {
  return Array.from({ length: to - from + 1 }, (_, i) => delta(from + i));
}

export function terminal(sequence: number): LoggedEvent {
  // The log reads an event's type and number only, so a whole response is not needed here.
  return serialize({ type: 'response.completed', response: { id: 'resp' } as ResponseObject }, sequence);
}

export const numbersOf = (events: readonly LoggedEvent[]): number[] => events.map((event) => event.sequence);
