/* Reports of revoked credentials, over state in memory. */

import { describe, expect, it } from '@jest/globals';
import { Revocations } from '../../../src/auth/revocations.js';
import { MemoryCredentialStore } from '../../../src/state/memory/memory-credential-store.js';

describe('a revocation', () => {
  it('is reported by two reads in a row, so that a socket which opens in between is found [EK-6]', async () => {
    const store = new MemoryCredentialStore();
    const reports: string[][] = [];
    const revocations = new Revocations(store, { onRevoked: async ({ owners }) => void reports.push([...owners]) });
    await revocations.read();
    await store.revokeOwner('tenant/ann');
    await revocations.read();
    const [first = []] = reports;
    expect(first).toHaveLength(1);
    await store.revokeOwner('tenant/bob');
    await revocations.read();
    expect(reports[1]).toEqual([first[0], expect.any(String)]);
    await revocations.read();
    expect(reports[2]).toEqual([reports[1]?.[1]]);
    await revocations.read();
    expect(reports).toHaveLength(3);
  });

  it('is reported again by the next read if its report fails', async () => {
    const store = new MemoryCredentialStore();
    let failures = 1;
    const reports: string[][] = [];
    const revocations = new Revocations(store, {
      onRevoked: async ({ owners }) => {
        if (failures-- > 0) throw new Error('unable to close');
        reports.push([...owners]);
      },
    });
    await revocations.read();
    await store.revokeOwner('tenant/ann');
    await revocations.read();
    expect(reports).toEqual([]);
    await revocations.read();
    expect(reports).toHaveLength(1);
    expect(reports[0]).toHaveLength(1);
  });
});
