/* The contract of CredentialStore. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ownerDigest, type Revocation, type StoredSecret } from '../../../src/state/credential-store.js';
import { LISTED_MAX } from '../../../src/state/owner-index.js';
import { type ContractStore, type OpenStore } from './contract-store.js';

export function describeCredentialStore(name: string, open: OpenStore, now: () => number = Date.now): void {
  describe(`credential store: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());
    const secret = (id: string, more: Partial<StoredSecret> = {}): StoredSecret => ({
      id,
      hash: 'ab'.repeat(32),
      tenant: 'shop',
      user: 'ann',
      owner: 'shop/ann',
      scopes: ['chat'],
      limitsClass: null,
      binding: { conversation: 'conv_1', prompt: { id: 'support', variables: { name: 'Ann' } } },
      madeBy: 'backend',
      expiresAtMs: now() + 600_000,
      ...more,
    });
    const revokedAfter = async (cursor: string | null): Promise<readonly Revocation[]> =>
      (await store.other.credentials.revocationsAfter(cursor)).revocations;

    it('returns a secret on every replica as it was stored, until it expires', async () => {
      const { credentials } = store.state;
      await credentials.putSecret(secret('cs_a'));
      await credentials.putSecret(secret('cs_b', { expiresAtMs: now() + 1_000 }));
      expect(await store.other.credentials.getSecret('cs_a')).toEqual(
        secret('cs_a', { expiresAtMs: expect.any(Number) as unknown as number }),
      );
      expect((await store.other.credentials.getSecret('cs_b'))?.id).toBe('cs_b');
      await store.pass(1_030);
      expect(await store.other.credentials.getSecret('cs_b')).toBeUndefined();
      expect((await store.other.credentials.getSecret('cs_a'))?.id).toBe('cs_a');
      expect(await credentials.getSecret('cs_unknown')).toBeUndefined();
    });

    it('deletes a secret, and lists that once for each deletion', async () => {
      const { cursor } = await store.other.credentials.revocationsAfter(null);
      await store.state.credentials.putSecret(secret('cs_a'));
      await store.state.credentials.deleteSecret('cs_a');
      expect(await store.other.credentials.getSecret('cs_a')).toBeUndefined();
      expect(await revokedAfter(cursor)).toEqual([{ secret: 'cs_a' }]);
    });

    it('revokes an owner: all secrets of the owner, none of another, and the time', async () => {
      const { credentials } = store.state;
      for (const id of ['cs_a', 'cs_b']) await credentials.putSecret(secret(id));
      await store.other.credentials.putSecret(secret('cs_c'));
      await credentials.putSecret(secret('cs_d', { user: 'bob', owner: 'shop/bob' }));
      const { cursor } = await store.other.credentials.revocationsAfter(null);
      expect(await credentials.revokedAt('shop/ann')).toBeUndefined();
      const before = now();
      await credentials.revokeOwner('shop/ann');
      for (const id of ['cs_a', 'cs_b', 'cs_c']) expect(await credentials.getSecret(id)).toBeUndefined();
      expect((await credentials.getSecret('cs_d'))?.user).toBe('bob');
      expect(await store.other.credentials.revokedAt('shop/ann')).toBeGreaterThanOrEqual(before);
      expect(await store.other.credentials.revokedAt('shop/bob')).toBeUndefined();
      expect(await revokedAfter(cursor)).toEqual([{ owner: ownerDigest('shop/ann') }]);
      await credentials.putSecret(secret('cs_e'));
      expect((await store.other.credentials.getSecret('cs_e'))?.id).toBe('cs_e');
    });

    it('lists revocations after a cursor in order, and none before the first', async () => {
      const { credentials } = store.state;
      await credentials.deleteSecret('cs_0');
      const first = await store.other.credentials.revocationsAfter(null);
      expect(first.revocations).toEqual([]);
      for (const id of ['cs_1', 'cs_2']) await credentials.deleteSecret(id);
      const second = await store.other.credentials.revocationsAfter(first.cursor);
      expect(second.revocations).toEqual([{ secret: 'cs_1' }, { secret: 'cs_2' }]);
      await credentials.deleteSecret('cs_3');
      expect(await revokedAfter(second.cursor)).toEqual([{ secret: 'cs_3' }]);
      const { cursor } = await store.other.credentials.revocationsAfter(second.cursor);
      expect(await revokedAfter(cursor)).toEqual([]);
    });
  });
}

export function describeOwnerIndex(name: string, open: OpenStore): void {
  describe(`owner index: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    it('lists the responses of an owner once each, on every replica, and removes them', async () => {
      const { index } = store.state;
      for (const id of ['resp_a', 'resp_b', 'resp_a']) await index.add('shop/ann', id);
      await store.other.index.add('shop/bob', 'resp_c');
      expect([...(await store.other.index.responsesOf('shop/ann'))].sort()).toEqual(['resp_a', 'resp_b']);
      await store.other.index.remove('shop/ann', ['resp_a', 'resp_c']);
      expect(await index.responsesOf('shop/ann')).toEqual(['resp_b']);
      expect(await index.responsesOf('shop/bob')).toEqual(['resp_c']);
      expect(await index.responsesOf('shop/cid')).toEqual([]);
    });

    it('keeps the newest responses of an owner above its bound, and all of another owner', async () => {
      const { index } = store.state;
      await index.add('shop/bob', 'resp_b');
      const ids = Array.from({ length: LISTED_MAX + 3 }, (_, i) => `resp_${String(i).padStart(6, '0')}`);
      for (let i = 0; i < ids.length; i += 500) {
        await Promise.all(ids.slice(i, i + 500).map((id) => index.add('shop/ann', id)));
      }
      const listed = await store.other.index.responsesOf('shop/ann');
      expect(listed).toHaveLength(LISTED_MAX);
      expect([listed[0], listed.at(-1)]).toEqual([ids[3], ids.at(-1)]);
      expect(await store.other.index.responsesOf('shop/bob')).toEqual(['resp_b']);
    });

    it('erases the idempotency keys of an owner, and of no other one', async () => {
      const use = (owner: string, key: string, responseId: string) => ({
        owner,
        key,
        fingerprint: 'digest',
        responseId,
      });
      for (const key of ['one', 'two']) await store.state.keys.claim(use('shop/ann', key, 'resp_a'));
      await store.other.keys.claim(use('shop/anna', 'one', 'resp_b'));
      await store.other.keys.eraseOwner('shop/ann');
      for (const key of ['one', 'two']) {
        expect(await store.state.keys.claim(use('shop/ann', key, 'resp_c'))).toEqual({ outcome: 'fresh' });
      }
      expect(await store.state.keys.claim(use('shop/anna', 'one', 'resp_c'))).toMatchObject({ outcome: 'same' });
    });
  });
}
