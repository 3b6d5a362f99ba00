/*
 * The run that record-redis.mjs records: turns of every kind, each a separate step, and what their
 * clients received. Ends with one turn that runs and one that waits for it.
 */

import { setTimeout as sleep } from 'node:timers/promises';

const HEADERS = { 'content-type': 'application/json' };
const WEATHER = { type: 'function', name: 'get_weather', parameters: { type: 'object' }, strict: false };

export async function recordedRun(url, recording) {
  const turns = {};
  const json = async (path, body, method = body === undefined ? 'GET' : 'POST') => {
    const init = body === undefined ? {} : { body: JSON.stringify(body), headers: HEADERS };
    return (await fetch(url + path, { method, ...init })).json();
  };
  /** `until`: stops reading after this event. */
  const turn = async (name, request, { until = () => false, headers = {} } = {}) => {
    recording.step = name;
    const init = {
      method: 'POST',
      headers: { ...HEADERS, ...headers },
      body: JSON.stringify({ ...request, stream: true }),
    };
    const events = await eventsOf(await fetch(`${url}/v1/responses`, init), until);
    turns[name] = { id: events[0].response.id, request, headers, events };
    return turns[name];
  };

  recording.step = 'conversation';
  const conversation = (await json('/v1/conversations', { metadata: { topic: 'upgrade' } })).id;
  await json(`/v1/conversations/${conversation}`, { metadata: { topic: 'upgrade', title: 'Two versions' } });
  const tools = [WEATHER];
  const { events } = await turn('tool', { conversation, tools, input: 'demo: tool=get_weather args={"city":"Paris"}' });
  const { call_id } = events.at(-1).response.output[0];
  const input = [{ type: 'function_call_output', call_id, output: '{"celsius":7}' }];
  await turn('tool-output', { conversation, tools, input });
  const headers = { 'idempotency-key': 'asked-of-the-version-before' };
  await turn('said', { conversation, input: 'demo: deltas=8 interval=80ms text=numbers' }, { headers });
  await turn('refused', { conversation, input: 'please hack it' });
  const { id } = await turn('alone', { input: 'demo: deltas=3 interval=0ms text=lorem' });
  await turn('continued', { previous_response_id: id, input: 'demo: deltas=2 interval=0ms text=numbers' });
  const cancelled = turn('cancelled', { input: 'demo: hang after=2' });
  const cancelledId = await recording.opened('cancelled');
  // A silent turn keeps its lease, and a replica that has run long enough sweeps for orphans.
  for (const script of ['renew', 'adopt']) while (!(script in recording.scripts)) await sleep(100);
  await json(`/v1/responses/${cancelledId}/cancel`, {});
  await cancelled;

  recording.step = 'deleted';
  const gone = (await json(`/v1/conversations/${conversation}/items?order=desc&limit=1`)).data[0].id;
  await json(`/v1/conversations/${conversation}/items/${gone}`, undefined, 'DELETE');

  recording.step = 'observed';
  for (const one of Object.values(turns)) one.response = await json(`/v1/responses/${one.id}`);
  const of = (part) => json(`/v1/conversations/${conversation}${part}`);
  const kept = { id: conversation, head: await of(''), items: (await of('/items?order=asc&limit=100')).data };

  recording.step = 'other conversation';
  const other = (await json('/v1/conversations', {})).id;
  // Deltas of a busy machine are joined: one event may have several words.
  let said = '';
  const thirdWord = ({ type, delta }) =>
    type === 'response.output_text.delta' && (said += delta).trim().split(' ').length >= 3;
  await turn('running', { conversation: other, input: 'demo: hang after=3' }, { until: thirdWord });
  await turn(
    'waiting',
    { conversation: other, input: 'and now?' },
    { until: ({ type }) => type === 'response.queued' },
  );
  return { turns, conversation: kept, other };
}

/** Returns a stream's events, up to the one of type `until`. */
async function eventsOf(answer, until) {
  const events = [];
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of answer.body) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const data = /^data: (\{.*)$/m.exec(block)?.[1];
      if (data !== undefined) events.push(JSON.parse(data));
    }
    if (events.some(until)) break;
  }
  return events;
}
