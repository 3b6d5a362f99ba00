/*
 * Writes docs/configuration.md from the schema (after a build); `--check` reports whether the page
 * is up to date and writes nothing.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { configSchema } from '../../dist/config/schema.js';
import { PROVIDER_TYPES } from '../../dist/provider/registry.js';
import { keyTable } from '../../dist/config/key-table.js';

const PAGE = new URL('../../docs/configuration.md', import.meta.url);

const INTRO = `# Configuration

<!-- Written by scripts/docs/config-reference.mjs from src/config/schema*.ts: change the schema, then run it after a build. -->

One YAML file holds the whole configuration. \`CONFIG_PATH\` names it; without, it is \`config/default.yaml\`, which needs no key and no other
service. The file is validated as a whole at start: all mistakes are reported together, and the process ends with code 78 before it listens.
\`npx sluice config check FILE\` does the same without starting anything.

- **Variables**: \`\${VAR}\` and \`\${VAR:-default}\` are expanded in values (\`$\${\` means a plain \`\${\`; inside \`{ }\` and \`[ ]\` put them in quotes).
- **Secrets** are never in the file: a key that ends in \`_env\` names an environment variable, one that ends in \`_file\` a mounted file.
- **Durations** read \`250ms\`, \`30s\`, \`5m\`, \`24h\`, \`7d\`, or a number of milliseconds. **Sizes** read \`64KiB\`, \`1MiB\`, or a number of bytes.
- A missing section or an empty value means the defaults below. An unknown key is a mistake.
- Settings that have no effect yet are logged once at start.

## Environment variables

| variable | meaning |
|---|---|
| \`CONFIG_PATH\` | The configuration file. |
| \`OPENAI_API_KEY\` | The API key, unless \`provider.api_key_env\` names another variable. With \`provider.type: auto\` it selects the provider. |
| \`OPENAI_BASE_URL\` | The base URL of a provider whose \`base_url\` is not given. |
| \`PORT\`, \`METRICS_PORT\`, \`OPENAI_MODEL\` | Read by \`config/default.yaml\` only. |`;

/** The introduction explains durations and sizes, so rows leave that out. */
const short = (allowed) => allowed.replace(/ \(`(250ms|64KiB)`[^)]*\)/, '');

function page() {
  const lines = [INTRO];
  for (const row of keyTable(configSchema(PROVIDER_TYPES))) {
    if (!row.path.includes('.')) {
      lines.push(
        `\n## ${row.path}\n`,
        `${row.description}\n`,
        '| key | allowed | default | meaning |',
        '|---|---|---|---|',
      );
    } else if (row.isSection) {
      const byDefault = row.shownDefault ? row.shownDefault : '';
      lines.push(`| **\`${row.path}\`** | | ${byDefault} | ${row.description} |`);
    } else {
      lines.push(
        `| \`${row.path}\` | ${short(row.allowed)} | ${row.shownDefault ?? '**required**'} | ${row.description} |`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

const wanted = page();
if (!process.argv.includes('--check')) {
  writeFileSync(PAGE, wanted);
} else if (readFileSync(PAGE, 'utf8') !== wanted) {
  console.error('docs/configuration.md is out of date; run: npm run build && node scripts/docs/config-reference.mjs');
  process.exitCode = 1;
}
