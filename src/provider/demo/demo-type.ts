/* The built-in provider as an entry of the registry: no key, no address, no cost. */

import { type ProviderType } from '../provider-type.js';
import { DemoProvider } from './demo-provider.js';

export const demoType: ProviderType = {
  defaultModel: 'demo',
  remote: false,
  open: (_settings, { name }) => ({ provider: new DemoProvider({ name }), close: () => Promise.resolve() }),
  refusesKey: () => Promise.resolve(false),
  price: () => null,
};
