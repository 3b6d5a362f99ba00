/* The room of a replica for turns: alone, and in the course of a turn. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { roomWithin, TurnRoom, type TurnRoomOptions } from '../../../src/turn/turn-room.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, type HarnessOptions, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

const MIB = 1_048_576;
const roomOf = (options: Partial<TurnRoomOptions>): TurnRoom =>
  new TurnRoom({ turns: 1_000, bytes: MIB, lagging: () => false, time: new HandTime(), ...options });
const OVERLOADED = { code: 'overloaded', status: 503, retryable: true, retryAfterMs: 2_000 };

describe('TurnRoom', () => {
  it('refuses a turn above the maximum, and admits one for each turn that left [LIMIT-8]', () => {
    const room = roomOf({ turns: 2 });
    const leave = room.enter(0);
    room.enter(0);
    expect(room.full).toBe(true);
    expect(() => room.enter(0)).toThrow(expect.objectContaining(OVERLOADED));
    leave();
    leave();
    expect(room.full).toBe(false);
    room.enter(0);
    expect(() => room.enter(0)).toThrow(expect.objectContaining(OVERLOADED));
  });

  it('refuses a turn whose input does not fit and still admits smaller ones [LIMIT-8]', () => {
    const room = roomOf({});
    room.enter(MIB / 2);
    expect(() => room.enter(MIB / 2)).toThrow(expect.objectContaining(OVERLOADED));
    expect(room.full).toBe(false);
    room.enter(MIB / 4);
    expect(room.turns).toBe(2);
  });

  it('counts 16 KiB for a turn without input', () => {
    const room = roomOf({});
    for (let i = 0; i < 64; i++) room.enter(0);
    expect(room.bytes).toBe(MIB);
    expect(() => room.enter(0)).toThrow(expect.objectContaining(OVERLOADED));
  });

  it('admits a turn that is larger than the whole room while no other turn runs', () => {
    const room = roomOf({});
    const leave = room.enter(2 * MIB);
    expect(() => room.enter(0)).toThrow(expect.objectContaining(OVERLOADED));
    leave();
    expect(room.bytes).toBe(0);
  });

  it('refuses every turn while the event loop lags [LIMIT-8]', () => {
    let lagging = true;
    const room = roomOf({ lagging: () => lagging });
    expect(() => room.enter(0)).toThrow(expect.objectContaining(OVERLOADED));
    lagging = false;
    room.enter(0);
  });

  it('fits the shipped heap with fewer turns and bytes than made a replica abort', () => {
    const { turns, bytes } = roomWithin(352 * MIB);
    expect(turns).toBe(1_877);
    expect(Math.floor(bytes / (200_000 + 16_384))).toBe(142);
  });
});

describe('a turn in a full replica', () => {
  let harness: TurnHarness;
  afterEach(() => harness.close());
  const harnessWith = (room: Partial<TurnRoomOptions>, options: HarnessOptions = {}): void => {
    harness = new TurnHarness({ room, answers: [[say('a'), HANG], [say('b')]], ...options });
  };

  it('refuses a turn in a full replica before anything is read or stored for it, and keeps its key usable [LIMIT-8]', async () => {
    harnessWith({ turns: 1 });
    const running = await harness.turns.create(ALICE, requestOf('Hi', { background: true }), ORIGIN);
    const calls = harness.faults.calls.length;
    const options = { idempotency: { key: 'k', fingerprint: 'f' } };
    await expect(harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, options)).rejects.toMatchObject({
      code: 'overloaded',
    });
    expect(harness.faults.calls.slice(calls).filter((name) => name !== 'renew')).toEqual([]);
    await harness.turns.cancel(ALICE, running.responseId);
    await harness.turns.whenIdle();
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, options);
    await harness.turns.whenIdle();
    expect((await harness.types(responseId)).at(-1)).toBe('completed');
  });

  it('counts a turn that waits for its conversation [LIMIT-8]', async () => {
    harnessWith({ turns: 2 });
    const conversation = await harness.conversation();
    for (const text of ['Hi', 'Ho']) await harness.turns.create(ALICE, requestOf(text, { conversation }), ORIGIN);
    await expect(harness.turns.create(ALICE, requestOf('Hey'), ORIGIN)).rejects.toMatchObject({ code: 'overloaded' });
    await harness.turns.abortAll(new SluiceError('replica_lost', 'unable to continue; the test is over'));
  });

  it('counts the input of a turn and releases all room at any end', async () => {
    harnessWith({ bytes: 200_000 });
    const large = 'x'.repeat(100_000);
    const { responseId } = await harness.turns.create(ALICE, requestOf(large), ORIGIN);
    await expect(harness.turns.create(ALICE, requestOf(large), ORIGIN)).rejects.toMatchObject({ code: 'overloaded' });
    await harness.turns.cancel(ALICE, responseId);
    await harness.turns.whenIdle();
    harness.faults.fail('createWith', 1);
    await expect(harness.turns.create(ALICE, requestOf(large), ORIGIN)).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    const joined = { idempotency: { key: 'k', fingerprint: 'f' } };
    await harness.turns.create(ALICE, requestOf(large), ORIGIN, joined);
    await harness.turns.whenIdle();
    await harness.turns.create(ALICE, requestOf(large), ORIGIN, joined);
    expect(harness.room.bytes).toBe(0);
  });
});
