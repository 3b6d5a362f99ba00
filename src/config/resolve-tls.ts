/* Reads certificates of an authority and of this gateway, for connections by TLS. */

import { readFileSync } from 'node:fs';
import { dirname, resolve as resolvePath } from 'node:path';
import { createSecureContext } from 'node:tls';
import { type Notes, readSecret, type ResolveContext } from './read-secret.js';
import { fileErrorCode } from './read-yaml.js';
import { type Secret } from './secret.js';

export interface FileTls {
  readonly ca_file: string | null;
  readonly cert_file: string | null;
  readonly key_file: string | null;
}

/** Certificates as PEM. Without `ca`, the authorities of Node are trusted. */
export interface TlsSettings {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: Secret | null;
}

export function resolveTls(
  path: string,
  file: FileTls | null,
  context: ResolveContext,
  notes: Notes,
): TlsSettings | null {
  if (file === null) return null;
  const read = (name: 'ca_file' | 'cert_file'): string | null => readPem(`${path}.${name}`, file[name], context, notes);
  const [ca, cert] = [read('ca_file'), read('cert_file')];
  const key = readSecret({ path, name: 'key' }, null, file.key_file, true, context, notes);
  if ((file.cert_file === null) !== (file.key_file === null)) {
    const [missing, given] = file.cert_file === null ? ['cert_file', 'key_file'] : ['key_file', 'cert_file'];
    const problem = `\`${given}\` is given without it; a certificate is shown with its key`;
    notes.mistakes.push({ path: `${path}.${missing}`, problem });
  }
  const problem = pemProblem(ca, cert, key);
  if (problem !== undefined) notes.mistakes.push({ path: `${path}.${problem.name}`, problem: problem.problem });
  return { ca, cert, key };
}

function readPem(path: string, file: string | null, context: ResolveContext, notes: Notes): string | null {
  if (file === null) return null;
  const at = resolvePath(context.cwd, dirname(context.configPath), file);
  try {
    return readFileSync(at, 'utf8');
  } catch (error) {
    const problem = `the file ${at} cannot be read (${fileErrorCode(error)}); mount it, or correct the path`;
    if (context.missingSecrets === 'mistake') notes.mistakes.push({ path, problem });
    else notes.warnings.push(`${path}: ${problem}`);
    return null;
  }
}

function pemProblem(ca: string | null, cert: string | null, key: Secret | null) {
  if (ca !== null && !ca.includes('-----BEGIN CERTIFICATE-----'))
    return { name: 'ca_file', problem: 'the file holds no certificate in PEM; give that of the authority' };
  try {
    createSecureContext({ ...(cert === null ? {} : { cert }), ...(key === null ? {} : { key: key.reveal() }) });
    return undefined;
  } catch {
    return { name: 'cert_file', problem: 'certificate and key are not in PEM, or do not belong together; give both' };
  }
}

/** Options of Node's TLS for these certificates. */
export function tlsOptions(tls: TlsSettings | null): { ca?: string; cert?: string; key?: string } {
  if (tls === null) return {};
  return {
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    ...(tls.cert === null ? {} : { cert: tls.cert }),
    ...(tls.key === null ? {} : { key: tls.key.reveal() }),
  };
}
