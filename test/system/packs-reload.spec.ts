/* Prompt packs of a running process: reloaded at SIGHUP, and when a file has changed. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { GatewayProcess } from '../support/gateway-process.js';
import { packFile } from '../unit/templating/packs.js';

let folder: string;
let gateway: GatewayProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-packs-'));
  write('1.0.0');
});
afterEach(async () => {
  await gateway?.stop();
  rmSync(folder, { recursive: true });
});

const write = (version: string): void =>
  writeFileSync(join(folder, 'shop.pack.json'), JSON.stringify(packFile({ version })));
const start = (reload_every: string) =>
  GatewayProcess.start({ middleware: { template: { source: folder, reload_every } } });

/** Resolves when the process serves this version. */
async function serves(version: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${gateway?.url ?? ''}/v1/prompts`);
    const { data } = (await answer.json()) as { readonly data: readonly { readonly version: string }[] };
    if (data.every((prompt) => prompt.version === version)) return;
  }
}

describe('prompt packs', () => {
  it('reloads prompt packs at SIGHUP, without a restart [PACK-6]', async () => {
    gateway = await start('0ms');
    await serves('1.0.0');
    write('1.1.0');
    gateway.signal('SIGHUP');
    await serves('1.1.0');
    expect(gateway.output).toContain('prompt packs reloaded');
  });

  it('reloads prompt packs when a file has changed [PACK-6]', async () => {
    gateway = await start('50ms');
    await serves('1.0.0');
    write('1.1.0');
    await serves('1.1.0');
    expect(await gateway.probe('/ready')).toMatchObject({ status: 200 });
  });
});
