/*
 * Runs the cases of a prompt pack (packs/support.evals.yaml) on a gateway and reports which of them pass.
 *
 *   node scripts/development/evals.mjs --demo         the cases that need no model, on a gateway with config/production.yaml and the demo provider
 *   node scripts/development/evals.mjs --url URL      all cases, on a gateway with a real model, which costs a few cents; its key in SLUICE_API_KEY
 *   options: --cases FILE, --only WORDS (in a case's name), --times N (of each, since a model answers differently every time)
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { judge, judgeCalls, readCases, stepsOf } from '../lib/eval-checks.mjs';

const ROOT = join(import.meta.dirname, '../..');
const USAGE = 64;
const ANSWER_WITHIN_MS = 120_000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** The production configuration without the parts that need a key, a Redis or a collector. */
async function demoGateway() {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-evals-'));
  const [port, opsPort] = [await freePort(), await freePort()];
  const file = parse(readFileSync(join(ROOT, 'config/production.yaml'), 'utf8'));
  Object.assign(file, {
    app: { ...file.app, host: '127.0.0.1', port },
    provider: { type: 'demo' },
    state: { type: 'memory' },
    auth: { mode: 'none' },
  });
  file.middleware.provider = { enabled: false };
  file.monitoring = { logging: { level: 'error' }, metrics: { port: opsPort } };
  writeFileSync(join(folder, 'config.yaml'), stringify(file));
  const env = { PATH: process.env.PATH, CONFIG_PATH: join(folder, 'config.yaml') };
  const child = spawn(process.execPath, [join(ROOT, 'dist/main.js')], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ready = () =>
    fetch(`http://127.0.0.1:${opsPort}/ready`)
      .then(({ ok }) => ok)
      .catch(() => false);
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error('the gateway did not start; run `npm run build` first');
    await sleep(50);
  }
  const stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    rmSync(folder, { recursive: true, force: true });
  };
  return { url: `http://127.0.0.1:${port}`, stop };
}

/** Returns a case's prompt as the pack renders it, or undefined if it cannot be rendered. */
async function rendered(packFile, { prompt }) {
  const { loadPacks } = await import('../../dist/templating/load-packs.js');
  const { renderPrompt } = await import('../../dist/templating/render.js');
  try {
    return renderPrompt((await loadPacks(packFile)).find(prompt.id), prompt.variables ?? {});
  } catch {
    return undefined;
  }
}

class Gateway {
  constructor(url, key) {
    this.url = url.replace(/\/$/, '');
    this.headers = { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) };
  }

  async ask(body) {
    const init = {
      method: 'POST',
      headers: this.headers,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    };
    return (await fetch(`${this.url}/v1/responses`, init)).json();
  }

  /** Returns all mistakes of one run of a case. */
  async run(one, packFile) {
    const tools = one.tools?.map((tool) => ({ type: 'function', strict: false, ...tool }));
    const wrong = [];
    let last;
    for (const [i, step] of stepsOf(one).entries()) {
      const calls = callsOf(last);
      if (i > 0 && one.calls !== undefined) wrong.push(...judgeCalls(one.calls, calls));
      if (wrong.length > 0) return { wrong, last };
      const input =
        typeof step === 'string'
          ? step
          : calls.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: step.output }));
      last = await this.ask({
        input,
        prompt: one.prompt,
        ...(tools ? { tools } : {}),
        ...(last ? { previous_response_id: last.id } : {}),
      });
      if (last.error && last.status === undefined) break;
    }
    const prompt = await rendered(packFile, one);
    wrong.push(...anotherPrompt(prompt, last.sluice?.prompt));
    wrong.push(...judge(one.expect, { ...seenOf(last), system: prompt?.system }));
    return { wrong, last };
  }
}

/** A gateway may run another version of the pack than the one in this repository. */
function anotherPrompt(here, there) {
  if (
    here === undefined ||
    !there ||
    (here.pack === there.pack && here.name === there.name && here.version === there.version)
  )
    return [];
  return [`answered with ${there.pack}/${there.name} ${there.version}, here is ${here.version}`];
}

const callsOf = (response) => (response?.output ?? []).filter(({ type }) => type === 'function_call');

/** Maps a response, or an error body, to the shape that the checks read. */
function seenOf(body) {
  const parts = (body.output ?? []).flatMap(({ content = [] }) => content);
  return {
    status: body.status,
    error: body.error?.code ?? null,
    findings: body.sluice?.findings ?? [],
    text: parts.map(({ text, refusal }) => text ?? refusal ?? '').join(''),
    askedModel: (body.sluice?.provider ?? null) !== null,
  };
}

async function main() {
  const { values } = parseArgs({
    options: {
      demo: { type: 'boolean', default: false },
      url: { type: 'string' },
      cases: { type: 'string', default: join(ROOT, 'packs/support.evals.yaml') },
      only: { type: 'string', default: '' },
      times: { type: 'string', default: '1' },
    },
  });
  if (values.demo === (values.url !== undefined) || !/^[1-9]\d*$/.test(values.times))
    throw new Error('give --demo or --url URL');
  const { pack, cases } = readCases(values.cases);
  const packFile = join(ROOT, `packs/${pack}.pack.json`);
  const chosen = cases.filter(
    (one) => one.name.includes(values.only) && (values.demo ? one.needs === 'nothing' : !one.demo_only),
  );
  const own = values.demo ? await demoGateway() : undefined;
  let failed = 0;
  try {
    const gateway = new Gateway(own?.url ?? values.url, values.demo ? undefined : process.env.SLUICE_API_KEY);
    for (const one of chosen) failed += (await holds(gateway, one, packFile, Number(values.times))) ? 0 : 1;
  } finally {
    await own?.stop();
  }
  const left = cases.length - chosen.length;
  console.log(
    `${chosen.length - failed} of ${chosen.length} hold${left === 0 ? '' : `; ${left} were not asked${values.demo ? ': they need a model (--url)' : ''}`}`,
  );
  return failed === 0 && chosen.length > 0 ? 0 : 1;
}

async function holds(gateway, one, packFile, times) {
  const runs = [];
  for (let i = 0; i < times; i++) runs.push(await gateway.run(one, packFile));
  const failed = runs.filter(({ wrong }) => wrong.length > 0);
  console.log(
    `${failed.length === 0 ? 'holds ' : 'FAILS '} ${one.name}${times > 1 ? ` (${times - failed.length} of ${times})` : ''}`,
  );
  for (const { wrong, last } of failed) {
    console.log(`         ${wrong.join('; ')}`);
    const { text } = seenOf(last);
    if (text !== '') console.log(`         it said: ${JSON.stringify(text.slice(0, 400))}`);
  }
  return failed.length === 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(
    `unable to evaluate; ${error.message}\nusage: node scripts/development/evals.mjs --demo | --url URL [--cases FILE] [--only WORDS] [--times N]`,
  );
  process.exitCode = USAGE;
}
