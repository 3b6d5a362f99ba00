/* Explains each frame of the protocol in one or two sentences. Pure. */

import { type WireEvent } from '../src/api.js';

const MEANINGS: Readonly<Record<string, string>> = {
  'response.create':
    'Requests an answer. Any number may run at once, each in a lane of its own (stream_id). The idempotency key makes it safe to send again: the same key never runs twice.',
  'response.cancel': 'Asks the gateway to stop an answer. The text so far stays, and a last event still comes.',
  'response.created':
    'The question was accepted and the response exists. From here on its events are numbered (sequence_number), and any connection can read them, from any number on.',
  'response.queued': 'Another turn is writing to this conversation; this one waits for its end.',
  'response.in_progress': 'The turn has begun: the prompt is put together, input is checked, the model is called.',
  'response.output_item.added': 'A new item of the answer begins: a message, or a function call.',
  'response.content_part.added': 'A part of the message begins: text, or a refusal.',
  'response.output_text.delta':
    'Text to add. It was written to the log of the response before it was sent, and has passed the guardrails: nothing shown is ever taken back.',
  'response.output_text.done': 'The text of this part is complete, and here it is once more as a whole.',
  'response.refusal.delta': 'Words of a refusal, by the model or by a guardrail.',
  'response.refusal.done': 'The refusal is complete.',
  'response.function_call_arguments.delta': 'Arguments of a function call, as the model writes them.',
  'response.function_call_arguments.done': 'The arguments of the function call are complete.',
  'response.content_part.done': 'This part of the message is complete.',
  'response.output_item.done': 'This item is complete.',
  'response.completed':
    'The end: answered. It carries the whole answer, the tokens used and, under `sluice`, what it cost. The conversation already holds the answer.',
  'response.incomplete':
    'The end, before the answer was complete: cancelled, too long, or stopped by a guardrail (incomplete_details). What was written stays.',
  'response.failed': 'The end: something went wrong (error). What was written stays.',
  error: 'A request was refused before it became a response. The connection stays open.',
  'sluice:hello':
    'The first thing a gateway says on a fresh connection: its limits and how often it checks that you are there.',
  'sluice:ping':
    'Tests the connection. Pages can’t see a WebSocket’s own pings, so the client sends this after a silence.',
  'sluice:pong': 'Yes. The network is alive.',
  'sluice:resume':
    'Resume a response after the last event seen (starting_after). Sent after a reconnect, a reload, or to follow what another device asked; any replica can serve it.',
  'sluice:resumed':
    'The events after that number follow: first those in the log, then live ones, each once and in order.',
  'sluice:snapshot': 'Many events were missed, so here is their result at once. What comes after it follows as usual.',
  'sluice:cancelled': 'The answer that you asked to stop has ended.',
  'sluice:subscribe': "Announce every turn of this conversation, from any of the user's devices.",
  'sluice:subscribed':
    'Watching. `running` names what is being answered right now, so that loading the history and following live leave no gap.',
  'sluice:turn': 'A turn began in a conversation that you watch, in another tab or on another device.',
  'sluice:unsubscribe': 'Stop announcing turns of this conversation.',
  'sluice:unsubscribed': 'Done.',
  'sluice:auth': 'A fresh credential for this connection, before the present one runs out.',
  'sluice:authenticated': 'The fresh credential counts from now on.',
  'sluice:auth_expiring': 'The credential of this connection runs out soon; send a new one by sluice:auth.',
  'sluice:draining':
    'This replica shuts down. Running answers continue; reconnect within this time, and any other replica resumes them.',
};

export function meaningOf(type: string): string {
  return MEANINGS[type] ?? 'An event of the OpenAI Responses protocol; PROTOCOL.md has it.';
}

/** Returns the most telling part of a frame, short enough for a line. */
export function summaryOf(frame: WireEvent): string {
  if (typeof frame.delta === 'string') return JSON.stringify(frame.delta);
  if (frame.type === 'response.create') return typeof frame['input'] === 'string' ? JSON.stringify(frame['input']) : '';
  if (frame.type === 'error') return String((frame['error'] as { code?: string } | undefined)?.code ?? '');
  if (frame.type === 'sluice:resume') return `after ${String(frame['starting_after'])}`;
  if (frame.type === 'sluice:subscribed') return `${(frame['running'] as unknown[] | undefined)?.length ?? 0} running`;
  if (frame.response !== undefined) return frame.response.status;
  return '';
}
