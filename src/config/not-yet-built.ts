/*
 * Keys that a file may contain although their feature is not built yet. Each is reported once at
 * start. A row is removed when its feature is built.
 */

import { type AppConfig } from './schema.js';

export interface NotYetBuilt {
  readonly path: string;
  /**
   * Whether the sentence applies. `written(path)`: whether the file contains the key, with any
   * value.
   */
  readonly when: (config: AppConfig, written: (path: string) => boolean) => boolean;
  readonly sentence: string;
}

export const NOT_YET_BUILT: readonly NotYetBuilt[] = [];
