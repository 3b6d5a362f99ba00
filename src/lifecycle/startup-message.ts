/* The message after a start: addresses, provider, and where state is kept. */

import { type Log } from '../observability/log.js';

export interface StartupFacts {
  readonly app: { readonly host: string; readonly port: number };
  /** Whether the playground is served at the application's address. */
  readonly playground: boolean;
  readonly ops: { readonly host: string; readonly port: number };
  /** Path of the metrics page, or null if there is none. */
  readonly metricsPath: string | null;
  readonly provider: { readonly type: string; readonly model: string; readonly baseUrl: string };
  readonly state: 'memory' | 'redis';
  readonly configPath: string;
  readonly revision: string;
}

export interface StartupOutput {
  readonly stdout: { readonly isTTY?: boolean; write(text: string): unknown };
  /**
   * Format of the log. Plain lines between JSON lines would break programs that parse the stream.
   */
  readonly logFormat: 'json' | 'pretty';
  readonly logger: Pick<Log, 'info'>;
}

/** Prints plain lines on a terminal or with a pretty log, and logs one line otherwise. */
export function announceStart(facts: StartupFacts, { stdout, logFormat, logger }: StartupOutput): void {
  if (stdout.isTTY === true || logFormat === 'pretty') {
    stdout.write(`\n${startupLines(facts).join('\n')}\n\n`);
    return;
  }
  logger.info(
    {
      url: urlOf(facts.app),
      playground: facts.playground ? urlOf(facts.app) : null,
      ops: urlOf(facts.ops),
      provider: facts.provider.type,
      model: facts.provider.model,
      state: facts.state,
      config: facts.configPath,
      revision: facts.revision,
    },
    'server started',
  );
}

export function startupLines(facts: StartupFacts): string[] {
  const ops = urlOf(facts.ops);
  const opsPages = ['/health', '/ready', ...(facts.metricsPath === null ? [] : [facts.metricsPath])];
  return [
    facts.playground
      ? `Sluice is running. Open the playground: ${urlOf(facts.app)}/`
      : `Sluice is running at ${urlOf(facts.app)}; the playground is off (app.playground)`,
    ...providerLines(facts.provider).map((line, i) => `  ${i === 0 ? 'provider' : '        '}  ${line}`),
    `  state     ${
      facts.state === 'memory'
        ? 'in memory: conversations and answers are gone when this process ends'
        : 'in Redis: shared by all replicas, outlives this process'
    }`,
    `  ops       ${opsPages.map((page) => `${ops}${page}`).join('  ')}`,
    `  config    ${facts.configPath}`,
  ];
}

function providerLines(provider: StartupFacts['provider']): string[] {
  if (provider.type !== 'demo') return [`${provider.model} at ${hostOf(provider.baseUrl)}`];
  return [
    'the built-in demo: scripted answers, no language model',
    'for a real one: OPENAI_API_KEY=... npm start   (another server: OPENAI_BASE_URL=... beside it)',
  ];
}

/** Returns the host alone: a base URL may carry credentials. */
function hostOf(baseUrl: string): string {
  return URL.parse(baseUrl)?.host ?? 'an unnamed server';
}

/** Returns a URL that a browser on this machine can open: a wildcard address becomes localhost. */
function urlOf({ host, port }: { readonly host: string; readonly port: number }): string {
  if (host === '0.0.0.0' || host === '::') return `http://localhost:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
