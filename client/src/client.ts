/* What `/client.js` exports. The mechanism is in sluice-client.ts, the types are in api.ts. */

import { type ClientOptions, type Sluice } from './api.js';
import { browserEnvironment } from './environment.js';
import { SluiceError } from './errors.js';
import { SluiceClient } from './sluice-client.js';

export type * from './api.js';
export { SluiceError };

/** Returns a client of the Sluice gateway. It connects when it is first used. */
export function createClient(options: ClientOptions = {}): Sluice {
  return new SluiceClient(options, browserEnvironment());
}
