/* The contract of ConversationAnnouncements: each response is reported to every watcher. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../../src/domain/ids.js';
import { type ContractStore, eventually, type OpenStore } from './contract-store.js';
import { headOf } from './log-fixtures.js';

export function describeConversationAnnouncements(name: string, open: OpenStore): void {
  describe(`conversation announcements: ${name}`, () => {
    let store: ContractStore;
    let conversation: string;
    beforeEach(async () => {
      store = await open();
      conversation = newId('conv');
    });
    afterEach(() => store.close());

    it('reports an announced response to every watcher, on any replica, until the watch ends', async () => {
      const here: string[] = [];
      const there: string[] = [];
      const stopHere = await store.state.announcements.watch(
        conversation,
        (id) => here.push(id),
        () => undefined,
      );
      const stopThere = await store.other.announcements.watch(
        conversation,
        (id) => there.push(id),
        () => undefined,
      );
      const { responseId: id } = headOf({ conversationId: conversation });
      await store.state.announcements.announce(conversation, id);
      await eventually(() => here.length > 0 && there.length > 0);
      expect(here).toContain(id);
      expect(there).toContain(id);
      stopHere();
      stopHere();
      here.length = 0;
      await store.other.announcements.announce(conversation, 'resp_next');
      await eventually(() => there.includes('resp_next'));
      expect(here).toEqual([]);
      stopThere();
    });

    it('reports no response of another conversation', async () => {
      const announced: string[] = [];
      const stop = await store.other.announcements.watch(
        conversation,
        (id) => announced.push(id),
        () => undefined,
      );
      await store.state.announcements.announce(newId('conv'), 'resp_elsewhere');
      await store.state.announcements.announce(conversation, 'resp_here');
      await eventually(() => announced.length > 0);
      expect(announced).toEqual(['resp_here']);
      stop();
    });
  });
}
