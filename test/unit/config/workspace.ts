/* A separate folder for each test that loads configuration files. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ConfigError } from '../../../src/config/config-error.js';
import { type LoadOptions, type LoadedConfig, loadConfig } from '../../../src/config/load.js';
import { PROVIDER_TYPES } from '../../../src/provider/registry.js';

export class Workspace {
  readonly cwd = mkdtempSync(join(tmpdir(), 'sluice-config-'));

  write(name: string, content: string): string {
    const path = join(this.cwd, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  load(yaml: string, env: Record<string, string> = {}, options: Partial<LoadOptions> = {}): LoadedConfig {
    this.write('config/test.yaml', yaml);
    return loadConfig({ types: PROVIDER_TYPES, path: 'config/test.yaml', env, cwd: this.cwd, ...options });
  }

  /** The mistakes that loading reports, one a line; empty if it succeeds. */
  mistakes(yaml: string, env: Record<string, string> = {}): readonly string[] {
    try {
      this.load(yaml, env);
      return [];
    } catch (error) {
      if (error instanceof ConfigError) return error.lines;
      throw error;
    }
  }

  remove(): void {
    rmSync(this.cwd, { recursive: true, force: true });
  }
}
