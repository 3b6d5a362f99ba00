/* Whole conversations, watched live from another device. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Frame, isTerminalFrame, TestSocket } from '../support/socket.js';
import { startGateway, type TestGateway } from '../support/gateway.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

async function newConversation(): Promise<string> {
  const answer = await fetch(`${gateway.url}/v1/conversations`, { method: 'POST' });
  return ((await answer.json()) as { id: string }).id;
}

const deltas = (frames: readonly Frame[], responseId?: string): string => {
  let text = '';
  let current: unknown;
  for (const frame of frames) {
    if (frame.type === 'response.created') current = (frame['response'] as { id: string }).id;
    if (frame.type === 'response.output_text.delta' && (responseId === undefined || current === responseId))
      text += String(frame['delta']);
  }
  return text;
};

describe('sluice:subscribe', () => {
  it('sends question and answer live to another device, in the lane of the subscription [SUB-1]', async () => {
    const conversation = await newConversation();
    const [creator, watcher] = [await TestSocket.open(gateway.socketUrl), await TestSocket.open(gateway.socketUrl)];
    watcher.send({ type: 'sluice:subscribe', conversation });
    expect(await watcher.next('sluice:subscribed')).toMatchObject({
      conversation,
      running: [],
      stream_id: 'sluice.watch',
    });
    creator.send({ type: 'response.create', conversation, input: 'demo: deltas=20 interval=1ms text=numbers' });
    const asked = await creator.next(isTerminalFrame);
    const turn = await watcher.next('sluice:turn');
    expect(turn).toMatchObject({ conversation, input: [{ type: 'message', role: 'user' }] });
    const seen = await watcher.next(isTerminalFrame);
    expect(seen['stream_id']).toBe('sluice.watch');
    expect((seen['response'] as { id: string }).id).toBe(turn['response_id']);
    expect(deltas(watcher.frames)).toBe((asked['response'] as { output_text: string }).output_text);
    expect(
      watcher.frames.filter((frame) => 'sequence_number' in frame).map((frame) => frame['sequence_number']),
    ).toEqual(creator.frames.filter((frame) => 'sequence_number' in frame).map((frame) => frame['sequence_number']));
    creator.close();
    watcher.close();
  });

  it('names running responses to a subscriber and sends them from their first event [SUB-1]', async () => {
    const conversation = await newConversation();
    const [creator, watcher] = [await TestSocket.open(gateway.socketUrl), await TestSocket.open(gateway.socketUrl)];
    creator.send({ type: 'response.create', conversation, input: 'demo: hang after=3' });
    const created = await creator.next('response.created');
    await creator.next('response.output_text.delta');
    watcher.send({ type: 'sluice:subscribe', conversation });
    const subscribed = await watcher.next('sluice:subscribed');
    const { id } = created['response'] as { id: string };
    expect(subscribed['running']).toEqual([{ response_id: id, sequence_number: expect.any(Number) }]);
    creator.send({ type: 'response.cancel', response_id: id });
    await watcher.next(isTerminalFrame);
    const asked = await creator.next(isTerminalFrame);
    expect(deltas(watcher.frames)).toBe((asked['response'] as { output_text: string }).output_text);
    expect(watcher.frames.filter((frame) => frame.type === 'sluice:turn')).toHaveLength(1);
    creator.close();
    watcher.close();
  });

  it('does not send a subscribed connection its own responses twice [SUB-2]', async () => {
    const conversation = await newConversation();
    const socket = await TestSocket.open(gateway.socketUrl);
    socket.send({ type: 'sluice:subscribe', conversation });
    await socket.next('sluice:subscribed');
    socket.send({ type: 'response.create', conversation, input: 'demo: deltas=5 interval=1ms', stream_id: 'mine' });
    await socket.next(isTerminalFrame);
    socket.send({ type: 'sluice:ping', id: 'after' });
    await socket.next('sluice:pong');
    expect(socket.frames.filter((frame) => frame.type === 'sluice:turn')).toEqual([]);
    const numbers = socket.frames.filter((frame) => 'sequence_number' in frame);
    expect(numbers.map((frame) => frame['sequence_number'])).toEqual(numbers.map((_, i) => i));
    expect(new Set(numbers.map((frame) => frame['stream_id']))).toEqual(new Set(['mine']));
    socket.close();
  });

  it('ends with sluice:unsubscribe, also in the middle of an answer [SUB-3]', async () => {
    const conversation = await newConversation();
    const [creator, watcher] = [await TestSocket.open(gateway.socketUrl), await TestSocket.open(gateway.socketUrl)];
    watcher.send({ type: 'sluice:subscribe', conversation, stream_id: 'w' });
    await watcher.next('sluice:subscribed');
    creator.send({ type: 'response.create', conversation, input: 'demo: hang after=3' });
    const turn = await watcher.next('sluice:turn');
    await watcher.next('response.output_text.delta');
    watcher.send({ type: 'sluice:unsubscribe', conversation });
    await watcher.next('sluice:unsubscribed');
    creator.send({ type: 'response.cancel', response_id: turn['response_id'] });
    await creator.next(isTerminalFrame);
    watcher.send({ type: 'sluice:ping', id: 1 });
    await watcher.next('sluice:pong');
    const after = watcher.frames.slice(watcher.frames.findIndex((frame) => frame.type === 'sluice:unsubscribed') + 1);
    expect(after.map((frame) => frame.type)).toEqual(['sluice:pong']);
    creator.close();
    watcher.close();
  });

  it('leaves a resumed response unaffected by sluice:subscribe, even in the same lane [SUB-1]', async () => {
    const conversation = await newConversation();
    const [creator, watcher] = [await TestSocket.open(gateway.socketUrl), await TestSocket.open(gateway.socketUrl)];
    watcher.send({ type: 'sluice:subscribe', conversation, stream_id: 'w' });
    await watcher.next('sluice:subscribed');
    creator.send({ type: 'response.create', conversation, input: 'demo: hang after=3' });
    const turn = await watcher.next('sluice:turn');
    watcher.send({ type: 'sluice:resume', response_id: turn['response_id'], stream_id: 'w' });
    await watcher.next('sluice:resumed');
    watcher.send({ type: 'sluice:unsubscribe', conversation });
    await watcher.next('sluice:unsubscribed');
    creator.send({ type: 'response.cancel', response_id: turn['response_id'] });
    expect(isTerminalFrame(await watcher.next(isTerminalFrame))).toBe(true);
    creator.close();
    watcher.close();
  });

  it('answers a subscribe to a conversation that does not exist with an error in its lane [SUB-4]', async () => {
    const socket = await TestSocket.open(gateway.socketUrl);
    socket.send({ type: 'sluice:subscribe', conversation: 'conv_nobody', stream_id: 'w' });
    expect(await socket.next('error')).toMatchObject({
      status: 404,
      stream_id: 'w',
      error: { code: 'conversation_not_found' },
    });
    socket.close();
  });
});
