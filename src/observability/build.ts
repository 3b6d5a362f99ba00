/* The version of this software and the revision that it was built from. */

import { readFileSync } from 'node:fs';

export interface Build {
  readonly version: string;
  /** Commit of the source, as the image's build argument REVISION; `unknown` otherwise. */
  readonly revision: string;
}

export const BUILD: Build = { version: versionOfPackage(), revision: process.env['SLUICE_REVISION'] || 'unknown' };

function versionOfPackage(): string {
  try {
    // The file is in the parent folder of src/ and of dist/.
    const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    return (JSON.parse(file) as { readonly version: string }).version;
  } catch {
    return 'unknown';
  }
}
