/* OpenAI's list object. */

import { type Page } from '../state/conversation-store.js';

export interface ListBody<T> {
  readonly object: 'list';
  readonly data: readonly T[];
  /** Null if the page is empty. */
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}

export function listBody<T extends { readonly id: string }>(page: Page<T>): ListBody<T> {
  return {
    object: 'list',
    data: page.data,
    first_id: page.data[0]?.id ?? null,
    last_id: page.data.at(-1)?.id ?? null,
    has_more: page.hasMore,
  };
}
