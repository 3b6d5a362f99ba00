/*
 * The entry point: refuses a Node that is too old before loading modules that such a Node cannot
 * parse.
 */

import { useCompileCache } from './config/compile-cache.js';
import { optimizeEarly } from './lifecycle/engine.js';
import { nodeTooOld } from './lifecycle/node-version.js';

const refusal = nodeTooOld(process.versions.node);
if (refusal === null) {
  useCompileCache();
  const { start } = await import('./start.js');
  await start();
  optimizeEarly();
} else {
  process.stderr.write(`${refusal}\n`);
  process.exitCode = 69;
}
