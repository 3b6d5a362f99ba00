/*
 * Every type of provider. To add one: a folder here that exports a ProviderType, an entry below, and its name with its defaults in
 * src/config/provider-types.ts. The compiler names what is missing.
 */

import { type ProviderTypeName } from '../config/provider-types.js';
import { demoType } from './demo/demo-type.js';
import { openAiType } from './openai/openai-type.js';
import { type ProviderType } from './provider-type.js';

export const PROVIDER_REGISTRY: Readonly<Record<ProviderTypeName, ProviderType>> = {
  openai: openAiType,
  demo: demoType,
};
