/*
 * Keys are made of ids that clients choose: none may leave its slot, and none may contain a
 * client's text.
 */

import { describe, expect, it } from '@jest/globals';
import { RedisKeys, slotOf } from '../../../../src/state/redis/redis-keys.js';

const LONG = `conv_${'x'.repeat(5_000)}`;
const HOSTILE = ['conv_a}b', '}', '{}', 'conv_{x}', '', 'conv_ä', 'conv_a b', 'conv_\n', LONG];
const named = HOSTILE.map((id) => [JSON.stringify(id.slice(0, 12)), id] as const);

describe('keys of an ill-formed id', () => {
  const keys = new RedisKeys('sluice:');

  it.each(named)('keeps the keys of an ill-formed id in one slot and below 100 characters: %s', (_name, id) => {
    const names = [...keys.conversation(id), keys.queue(id), keys.announced(id), keys.turns(id)];
    expect(new Set(names.map(slotOf)).size).toBe(1);
    for (const name of [...names, keys.response(id), keys.turn(id).meta]) expect(name.length).toBeLessThan(100);
    const { meta, log, leases } = keys.turn(id);
    expect(new Set([meta, log, leases].map(slotOf)).size).toBe(1);
  });

  it('gives two ill-formed ids different keys', () => {
    expect(new Set(HOSTILE.map((id) => keys.queue(id))).size).toBe(HOSTILE.length);
  });

  it('writes a well-formed id unchanged in its keys', () => {
    expect(keys.queue('conv_0a')).toBe('sluice:{conv_0a}:queue');
    expect(keys.response('resp_0a')).toBe('sluice:response:resp_0a');
  });
});
