/* The playground's files: served to every client, or to none. */

import { expect, it } from '@jest/globals';
import { startGateway } from '../support/gateway.js';

it.each([
  ['serves', true, 200],
  ['does not serve', false, 404],
])('%s the playground and the client with app.playground: %s [REST-21]', async (_what, playground, status) => {
  const gateway = await startGateway({ config: { app: { playground } } });
  try {
    for (const path of ['/', '/client.js', '/client.d.ts'])
      expect([path, (await fetch(`${gateway.url}${path}`)).status]).toEqual([path, status]);
  } finally {
    await gateway.close();
  }
});
