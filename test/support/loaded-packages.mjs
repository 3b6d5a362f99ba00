/*
 * For `node --import`: appends each package whose first module this process loads to the file that
 * LOADED_PACKAGES names.
 */

import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import process from 'node:process';

const seen = new Set();

registerHooks({
  load(url, context, next) {
    const name = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/u.exec(url)?.[1];
    if (name !== undefined && !seen.has(name)) {
      seen.add(name);
      appendFileSync(process.env.LOADED_PACKAGES, `${name}\n`);
    }
    return next(url, context);
  },
});
