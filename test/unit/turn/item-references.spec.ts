/*
 * What resolving references reads, and where it stops. The rules over real stores:
 * test/conformance/item-references.spec.ts.
 */

import { describe, expect, it } from '@jest/globals';
import { itemIdsOf } from '../../../src/domain/ids.js';
import { type StoredItem } from '../../../src/domain/item.js';
import { type StoredResponse } from '../../../src/domain/response.js';
import { systemTime } from '../../../src/domain/time.js';
import { ItemReferences } from '../../../src/turn/item-references.js';
import { ALICE, userItem } from './turn-harness.js';

const NO_CONTEXT = { kind: 'none' } as const;
const responseId = (n: number): string => `resp_${n.toString(16).padStart(32, '0')}`;
const itemOf = (home: string, text: string): StoredItem => ({
  item: { ...userItem(text), id: itemIdsOf(home, systemTime)('msg') },
  responseId: home,
  withheld: false,
});

/** Responses of Alice by id, each with these items as its context. */
function referencesTo(contexts: readonly (readonly StoredItem[])[], maxBytes = 1_000) {
  const reads: string[] = [];
  const get = async (id: string): Promise<StoredResponse | undefined> => {
    reads.push(id);
    const context = contexts.find((_, n) => responseId(n) === id);
    // As much of a stored response as is read.
    return (context === undefined
      ? undefined
      : {
          owner: ALICE.owner,
          response: { id, output: [], sluice: { kept: 'all' } },
          input: [],
          context,
        }) as unknown as StoredResponse | undefined;
  };
  const conversations = { get: async () => undefined, recentItems: async () => [] };
  const references = new ItemReferences({ conversations, responses: { get }, stateEnabled: true, maxBytes });
  const resolve = (items: readonly StoredItem[]) =>
    references.resolve(
      ALICE,
      items.map(({ item: { id } }) => ({ type: 'item_reference', id })),
      NO_CONTEXT,
    );
  return { reads, resolve };
}

describe('resolving references', () => {
  it('reads the newest response alone if it holds the items before it [REF-1]', async () => {
    const history = Array.from({ length: 50 }, (_, n) => itemOf(responseId(n), `t${n}`));
    const contexts = history.map((_, n) => history.slice(0, n + 1));
    const { reads, resolve } = referencesTo(contexts);
    expect((await resolve(history)).items).toEqual(history.map(({ item }) => item));
    expect(reads).toEqual([responseId(49)]);
  });

  it('reads nothing for an id that names no home [REF-3]', async () => {
    const { reads, resolve } = referencesTo([]);
    await expect(resolve([{ item: userItem('x'), responseId: null, withheld: false }])).rejects.toMatchObject({
      code: 'item_not_found',
      param: 'input[0]',
    });
    expect(reads).toEqual([]);
  });

  it('stops reading beyond twice the bytes that a conversation holds [REF-4]', async () => {
    const named = Array.from({ length: 8 }, (_, n) => itemOf(responseId(n), 'x'));
    const contexts = named.map((stored, n) => [stored, itemOf(responseId(n), 'y'.repeat(900))]);
    const { reads, resolve } = referencesTo(contexts);
    await expect(resolve(named)).rejects.toMatchObject({ code: 'invalid_value', param: 'input' });
    expect(reads).toHaveLength(3);
  });

  it('refuses named items that are larger together than a conversation [REF-4]', async () => {
    const named = ['a', 'b'].map((text) => itemOf(responseId(0), text.repeat(600)));
    await expect(referencesTo([named]).resolve(named)).rejects.toMatchObject({ code: 'invalid_value' });
  });
});
