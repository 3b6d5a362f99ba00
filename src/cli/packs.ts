/*
 * `sluice packs`: checks and renders prompt packs without a gateway. The requested output
 * goes to standard output, every mistake to standard error.
 */

import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SluiceError } from '../domain/errors.js';
import { compilePack } from '../templating/compile-pack.js';
import { loadPacks, packFiles, readPack } from '../templating/load-packs.js';
import { PackLoadError, type PackMistake } from '../templating/pack-mistake.js';
import { renderPrompt } from '../templating/render.js';
import { guardrailsFrom } from '../validation/read-guardrails.js';
import { type CliContext } from './context.js';
import { comparePacks } from './packs-compare.js';
import { evalPack } from './packs-eval.js';
import { replay } from './packs-replay.js';

const EXIT_MISTAKE = 1;
/** The operations listener of a gateway on this machine. */
const LOCAL_METRICS = 'http://127.0.0.1:9090/metrics';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  var: { type: 'string', multiple: true },
  vars: { type: 'string' },
  model: { type: 'string' },
  'pack-version': { type: 'string' },
  'time-zone': { type: 'string', default: 'UTC' },
  metrics: { type: 'string', multiple: true },
  url: { type: 'string' },
  guardrails: { type: 'string' },
  only: { type: 'string', default: '' },
  times: { type: 'string', default: '1' },
  source: { type: 'string' },
} as const;

type Options = ReturnType<typeof parse>['values'];

function parse(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
}

/**
 * Runs a command of `sluice packs`.
 * @returns its exit code, or why it cannot be run
 */
export async function runPacks(argv: readonly string[], context: CliContext): Promise<number | string> {
  let parsed;
  try {
    parsed = parse(argv);
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown arguments';
  }
  const { values, positionals } = parsed;
  const [command, ...files] = positionals;
  if (command === 'validate') {
    return files.length === 0 ? '`packs validate` needs a pack file' : validate(files, values, context);
  }
  if (command === 'render') {
    const [file, prompt, ...rest] = files;
    if (file === undefined || prompt === undefined || rest.length > 0) return '`packs render` needs FILE and PROMPT';
    return render(file, prompt, values, context);
  }
  if (command === 'eval') {
    const [file, ...rest] = files;
    const { url, only, times } = values;
    if (file === undefined || rest.length > 0) return '`packs eval` needs one FILE';
    if (!/^[1-9]\d*$/.test(times)) return '--times is a whole number from 1';
    return evalPack(resolve(context.cwd, file), { url, only, times: Number(times) }, context);
  }
  if (command === 'replay') {
    const { guardrails } = values;
    if (guardrails === undefined) return '`packs replay` needs --guardrails FILE';
    const records = files.map((file) => resolve(context.cwd, file));
    return replay(resolve(context.cwd, guardrails), records, context);
  }
  if (command === 'compare') {
    const [prompt, ...versions] = files;
    if (prompt === undefined) return '`packs compare` needs PACK/PROMPT';
    const { metrics = [LOCAL_METRICS], source, json } = values;
    if (source !== undefined && source !== 'live' && source !== 'shadow') return '--source is live or shadow';
    return comparePacks(prompt, versions, { metrics, source, json }, context);
  }
  return `there is no command \`packs ${command ?? ''}\``;
}

interface FileReport {
  readonly file: string;
  readonly valid: boolean;
  readonly pack: { readonly id: string; readonly version: string; readonly prompts: readonly string[] } | null;
  readonly mistakes: readonly Finding[];
  readonly warnings: readonly Finding[];
}
interface Finding {
  /** A JSON pointer. Empty for the file as a whole. */
  readonly pointer: string;
  readonly message: string;
  readonly allowed?: string;
}

async function validate(sources: readonly string[], { json, strict }: Options, context: CliContext): Promise<number> {
  const reports: FileReport[] = [];
  for (const source of sources) {
    try {
      for (const file of await packFiles(resolve(context.cwd, source))) reports.push(await reportOn(file, strict));
    } catch (error) {
      if (!(error instanceof PackLoadError)) throw error;
      reports.push({ file: source, valid: false, pack: null, mistakes: error.mistakes.map(findingOf), warnings: [] });
    }
  }
  const valid = reports.every((report) => report.valid);
  if (json) context.print(JSON.stringify({ valid, files: reports }, null, 2));
  else for (const report of reports) describe(report, context);
  return valid ? 0 : EXIT_MISTAKE;
}

async function reportOn(file: string, strict: boolean): Promise<FileReport> {
  const read = await readPack(file);
  if ('problem' in read) {
    return { file, valid: false, pack: null, mistakes: [{ pointer: '', message: read.problem }], warnings: [] };
  }
  const options = { readGuardrails: guardrailsFrom, strict };
  const { pack, mistakes, warnings } = compilePack(basename(file), read.json, options);
  const found = mistakes.map(findingOf);
  const summary = pack && { id: pack.id, version: pack.version, prompts: pack.prompts.map(({ name }) => name) };
  return {
    file,
    valid: found.length === 0,
    pack: found.length === 0 ? (summary ?? null) : null,
    mistakes: found,
    warnings: warnings.map(findingOf),
  };
}

function findingOf({ path, what, allowed }: PackMistake): Finding {
  return { pointer: path, message: what, ...(allowed === undefined ? {} : { allowed }) };
}

function describe({ file, pack, mistakes, warnings }: FileReport, { print, complain }: CliContext): void {
  const line = ({ pointer, message, allowed }: Finding): string =>
    `${file}: ${pointer === '' ? '' : `${pointer}: `}${message}${allowed === undefined ? '' : `; allowed: ${allowed}`}`;
  for (const mistake of mistakes) complain(line(mistake));
  if (pack !== null) print(`${file}: ok, ${pack.id} ${pack.version}: ${pack.prompts.join(', ')}`);
  for (const warning of warnings) print(`  note: ${line(warning)}`);
}

async function render(
  file: string,
  id: string,
  options: Options,
  { cwd, print, complain }: CliContext,
): Promise<number> {
  try {
    const given = valuesOf(options);
    checkZone(options['time-zone']);
    const { model, 'time-zone': timeZone, strict } = options;
    const packs = await loadPacks(resolve(cwd, file), { readGuardrails: guardrailsFrom, strict });
    const prompt = packs.find(id, options['pack-version']);
    // A turn takes some values from facts that do not exist here, so given values replace them.
    const bound = prompt.variables.filter(
      ({ name, binding }) => binding?.automatic === true && Object.hasOwn(given, name),
    );
    const names = new Set(bound.map(({ name }) => name));
    const entries = Object.entries(given);
    const now = new Date();
    const rendered = renderPrompt(prompt, Object.fromEntries(entries.filter(([name]) => !names.has(name))), {
      bound: Object.fromEntries(entries.filter(([name]) => names.has(name))),
      facts: { now, timeZone, conversationId: null, model: model ?? null, tenant: null, user: null },
      ...(model === undefined ? {} : { model }),
    });
    print(rendered.system);
    return 0;
  } catch (error) {
    if (!(error instanceof PackLoadError || error instanceof SluiceError || error instanceof ValueMistake)) throw error;
    complain(error.message);
    return EXIT_MISTAKE;
  }
}

class ValueMistake extends Error {}

/** @throws ValueMistake */
function checkZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw new ValueMistake(`unable to use --time-zone ${JSON.stringify(timeZone)}; write a name such as Europe/Berlin`);
  }
}

/** @throws ValueMistake */
function valuesOf({ var: pairs = [], vars }: Options): Readonly<Record<string, unknown>> {
  const values = vars === undefined ? {} : objectIn(vars);
  const given = pairs.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new ValueMistake(`unable to use --var ${JSON.stringify(pair)}; write --var NAME=VALUE`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return Object.fromEntries([...Object.entries(values), ...given]);
}

function objectIn(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Reported below, like every text that is no object.
  }
  throw new ValueMistake('unable to use --vars; it is no JSON object; write --vars \'{"NAME": "VALUE"}\'');
}
