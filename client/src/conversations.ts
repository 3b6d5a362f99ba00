/* The gateway's REST calls for conversations, one line each. */

import { type ConversationObject, type Conversations, type Sluice } from './api.js';

const ROOT = '/v1/conversations';

export function conversationsOver(client: Pick<Sluice, 'request'>): Conversations {
  const update = (id: string, body: object): Promise<ConversationObject> =>
    client.request('POST', `${ROOT}/${id}`, body);
  const retrieve = (id: string): Promise<ConversationObject> => client.request('GET', `${ROOT}/${id}`);
  return {
    create: (body = {}) => client.request('POST', ROOT, body),
    retrieve,
    list: (paging) => client.request('GET', ROOT + queryOf(paging)),
    items: (id, paging) => client.request('GET', `${ROOT}/${id}/items${queryOf(paging)}`),
    update,
    rename: async (id, title) => update(id, { metadata: { ...(await retrieve(id)).metadata, title } }),
    delete: async (id) => void (await client.request('DELETE', `${ROOT}/${id}`)),
  };
}

function queryOf(fields: object = {}): string {
  return Object.entries(fields).reduce((query, [name, value], i) => `${query}${i ? '&' : '?'}${name}=${value}`, '');
}
