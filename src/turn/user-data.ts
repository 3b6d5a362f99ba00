/*
 * All data of one user: erases it, and exports it. For administrators, within the tenant of their
 * key.
 */

import { type Conversation } from '../domain/conversation.js';
import { authorOf } from '../domain/item.js';
import { actingFor, ownerOf, type Principal } from '../domain/principal.js';
import { type ResponseObject } from '../domain/response.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type CredentialStore } from '../state/credential-store.js';
import { type EventLog } from '../state/event-log.js';
import { type IdempotencyStore } from '../state/idempotency-store.js';
import { type OwnerIndex } from '../state/owner-index.js';
import { cancelTurnsIn } from './conversation-removal.js';

export interface UserDataParts {
  readonly conversations: ConversationStore;
  readonly responses: ResponseStore;
  readonly events: Pick<EventLog, 'delete' | 'read' | 'requestCancel'>;
  readonly claim: Pick<ConversationClaim, 'members'>;
  readonly index: OwnerIndex;
  readonly keys: Pick<IdempotencyStore, 'eraseOwner'>;
  readonly credentials: Pick<CredentialStore, 'revokeOwner'>;
  readonly time?: Time;
}

export interface Erased {
  readonly conversations: number;
  readonly responses: number;
}

/** What the response of a turn says about the items that the turn added. */
interface TurnOfItem {
  readonly id: string;
  /** Unix seconds. */
  readonly createdAt: number | null;
  readonly prompt: ResponseObject['sluice']['prompt'];
}

const PAGE = 100;
/**
 * How long an erasure waits for the ends of cancelled turns, in milliseconds: until another replica
 * has ended those of a lost one.
 */
const ENDED_WITHIN_MS = 12_000;
const LOOK_FIRST_MS = 10;
const LOOK_MOST_MS = 500;

export class UserData {
  readonly #parts: UserDataParts;

  constructor(parts: UserDataParts) {
    this.#parts = parts;
  }

  /**
   * Erases everything of a user, and ends the user's credentials. Running turns are cancelled, and
   * what they write afterwards is not kept. Safe to repeat.
   * @throws SluiceError `insufficient_scope`, `invalid_value`, `state_unavailable`
   */
  async erase(caller: Principal, user: string): Promise<Erased> {
    actingFor(caller, user, 'user');
    const owner = ownerOf(caller.tenant, user);
    // First, so that the user starts no turn meanwhile.
    await this.#parts.credentials.revokeOwner(owner);
    const erased = { conversations: 0, responses: 0 };
    // A turn that was being created may add to what was listed: erase until nothing is left.
    for (;;) {
      const conversations = await this.#eraseConversations(owner);
      const responses = await this.#eraseResponses(owner);
      erased.conversations += conversations;
      erased.responses += responses;
      if (conversations + responses === 0) break;
    }
    await this.#parts.keys.eraseOwner(owner);
    return erased;
  }

  /**
   * Yields everything of a user as lines of JSON: each conversation followed by its items, with who
   * speaks, when and by which version of a prompt, then the responses.
   * @throws like `erase`
   */
  async *export(caller: Principal, user: string): AsyncGenerator<string, void> {
    actingFor(caller, user, 'user');
    const owner = ownerOf(caller.tenant, user);
    for await (const conversation of this.#conversationsOf(owner)) {
      const { id, createdAt, updatedAt, metadata, title } = conversation;
      yield line({ type: 'conversation', id, created_at: createdAt, updated_at: updatedAt, title, metadata });
      yield* this.#itemsOf(id);
    }
    for (const id of await this.#parts.index.responsesOf(owner)) {
      const stored = await this.#parts.responses.get(id);
      if (stored?.owner !== owner) continue;
      const input = stored.input.map(({ item }) => item);
      yield line({ type: 'response', response: stored.response, input });
    }
  }

  async *#conversationsOf(owner: string): AsyncGenerator<Conversation, void> {
    let after: string | undefined;
    for (;;) {
      const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const { data, hasMore } = await this.#parts.conversations.listByOwner(owner, query);
      yield* data;
      after = data.at(-1)?.id;
      if (!hasMore || after === undefined) return;
    }
  }

  async *#itemsOf(conversation: string): AsyncGenerator<string, void> {
    let turn: TurnOfItem | undefined;
    let after: string | undefined;
    for (;;) {
      const query = { limit: PAGE, order: 'asc', ...(after === undefined ? {} : { after }) } as const;
      const { data, hasMore } = await this.#parts.conversations.listItems(conversation, query);
      for (const { item, responseId } of data) {
        // Items of one turn follow each other.
        if (responseId !== turn?.id) turn = await this.#turnOf(responseId);
        const about = { author: authorOf(item), created_at: turn?.createdAt ?? null, prompt: turn?.prompt ?? null };
        yield line({ type: 'item', conversation, response_id: responseId, ...about, item });
      }
      after = data.at(-1)?.item.id;
      if (!hasMore || after === undefined) return;
    }
  }

  /** Returns when a turn was, and its prompt. Both are unknown if its response is not stored. */
  async #turnOf(responseId: string | null): Promise<TurnOfItem | undefined> {
    if (responseId === null) return undefined;
    const stored = await this.#parts.responses.get(responseId);
    return {
      id: responseId,
      createdAt: stored?.response.created_at ?? null,
      prompt: stored?.response.sluice.prompt ?? null,
    };
  }

  async #eraseConversations(owner: string): Promise<number> {
    const { conversations, time = systemTime } = this.#parts;
    let erased = 0;
    for (const id of await conversations.idsOfOwner(owner, PAGE)) {
      // First the conversation: a turn that enters it before that is found in it.
      if (await conversations.delete(id)) erased += 1;
      await cancelTurnsIn(id, 'delete', { ...this.#parts, time });
    }
    return erased;
  }

  async #eraseResponses(owner: string): Promise<number> {
    const { index, responses, events } = this.#parts;
    const ids = (await index.responsesOf(owner)).slice(0, PAGE);
    const running: string[] = [];
    for (const id of ids) {
      if (await events.requestCancel(id)) running.push(id);
      // The mark of the deletion keeps a turn that still runs from storing its end.
      await responses.delete(id);
    }
    // A turn that loses its log before its end is taken for one that was reported before: no
    // replica counts it or settles its limits. So the logs are deleted when the turns have ended.
    await this.#ended(running);
    for (const id of ids) await events.delete(id);
    await index.remove(owner, ids);
    return ids.length;
  }

  /** Waits until the turns of these responses have ended, at most ENDED_WITHIN_MS. */
  async #ended(responseIds: readonly string[]): Promise<void> {
    const { events, time = systemTime } = this.#parts;
    const giveUpAt = time.now() + ENDED_WITHIN_MS;
    let running = responseIds;
    for (let delayMs = LOOK_FIRST_MS; ; delayMs = Math.min(delayMs * 2, LOOK_MOST_MS)) {
      const pages = await Promise.all(running.map((id) => events.read(id, -1, 0)));
      running = running.filter((_, i) => pages[i]?.ended === false);
      if (running.length === 0 || time.now() >= giveUpAt) return;
      await sleep(time, delayMs);
    }
  }
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
