/*
 * The built gateway as a process before a scripted provider, and what must hold after everything
 * that it was sent: it runs, each of its log lines is one JSON object without planted text, and it
 * answers the next turn exactly. An unhandled rejection ends the process, and so fails the test.
 */

import { Agent, request } from 'undici';
import { ERROR_CODES } from '../../src/domain/errors.js';
import { type FakeAnswer, FakeOpenAiServer, type FakeRequest, textAnswer } from '../support/fake-openai-server.js';
import { GatewayProcess } from '../support/gateway-process.js';
import { ONE_TRY } from '../support/gateway-harness.js';
import { PLANTED } from './arbitraries.js';

export const SERVER_KEY = 'sk-fuzzed-0000000000000000000000000001';
/** Names that a client chooses for itself and an operator looks for. */
const NAMES = /"(?:user_id|client_request_id)":"(?:[^"\\]|\\.)*"/gu;
const PROVIDER_KEY = 'sk-upstream-fuzzed-5f2c9a7be41d';
/** More than any run needs: these limits have tests of their own. */
const MANY = 1_000_000_000;
/** The longest that an answer may take, on any machine. */
export const ANSWER_WITHIN_MS = 120_000;

interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}
interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export class FuzzedGateway {
  /** How turns are answered, by the text of their last message; others get `Hello world`. */
  readonly answers: Map<string, FakeAnswer>;
  /** Ids of stored objects, so that requests name some that exist. */
  readonly ids: string[] = [];
  readonly #agent = new Agent({ connections: 32, headersTimeout: ANSWER_WITHIN_MS, bodyTimeout: ANSWER_WITHIN_MS });
  #ended: number | string | undefined;
  #turns = 0;

  private constructor(
    readonly process: GatewayProcess,
    readonly provider: FakeOpenAiServer,
    answers: Map<string, FakeAnswer>,
  ) {
    this.answers = answers;
    void process.exited.then((end) => (this.#ended = end));
  }

  static async start(): Promise<FuzzedGateway> {
    const normal = textAnswer(['Hello', ' world']);
    const answers = new Map<string, FakeAnswer>();
    // A request that only checks the key has no messages.
    const answerTo = ({ body }: { readonly body: Partial<FakeRequest['body']> }): FakeAnswer =>
      answers.get(String(body.messages?.at(-1)?.['content'])) ?? normal;
    const provider = await FakeOpenAiServer.start(answerTo);
    const process = await GatewayProcess.start(
      {
        provider: { type: 'openai', model: 'fake-model', base_url: provider.baseUrl },
        middleware: { ...ONE_TRY, validator: { guardrails: [{ type: 'pii' }] } },
        auth: {
          mode: 'keys',
          keys: [{ id: 'backend', key_env: 'BACKEND', tenant: 'shop', scopes: ['chat', 'admin'] }],
        },
        limits: { refusals_per_minute: MANY, per_user: { operations_per_minute: MANY } },
        compaction: { key_env: 'SUMMARY_KEY' },
        monitoring: { logging: { level: 'trace' } },
      },
      { BACKEND: SERVER_KEY, OPENAI_API_KEY: PROVIDER_KEY, SUMMARY_KEY: 'a-key-of-forty-characters-for-summaries.' },
    );
    const gateway = new FuzzedGateway(process, provider, answers);
    await gateway.#store();
    return gateway;
  }

  /** @throws if no answer comes, or not one that PROTOCOL.md describes */
  async http({ method, path, headers = {}, body }: HttpRequest): Promise<HttpAnswer> {
    const answer = await request(`${this.process.url}${path}`, {
      dispatcher: this.#agent,
      method,
      headers: { authorization: `Bearer ${SERVER_KEY}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body }),
    });
    const type = String(answer.headers['content-type'] ?? '');
    return { status: answer.statusCode, type, text: await answer.body.text() };
  }

  /** The turn after everything: the gateway answers it as if nothing had been. */
  async expectNormalTurn(): Promise<void> {
    const body = JSON.stringify({ input: `Hi ${this.#turns++}`, store: false });
    const answer = await this.http({ method: 'POST', path: '/v1/responses', body });
    // A loaded machine makes the event loop lag (LIMIT-8): the client may try again.
    if (answer.status === 503 && answer.text.includes('"overloaded"')) return this.expectNormalTurn();
    const { status, output_text: text } = answer.status === 200 ? fieldsIn(answer.text) : {};
    if (status !== 'completed' || text !== 'Hello world') throw new Error(`a normal turn got ${show(answer)}`);
  }

  /**
   * Looks at what the gateway wrote since the last look.
   * @param isExpected errors that the script of the provider causes
   */
  expectHealthy(isExpected: (line: string) => boolean = () => false): void {
    if (this.#ended !== undefined) throw new Error(`the gateway ended with ${this.#ended}: ${this.process.output}`);
    const end = this.process.output.lastIndexOf('\n') + 1;
    const lines = this.process.output.slice(0, end).split('\n').slice(0, -1);
    this.process.output = this.process.output.slice(end);
    this.provider.requests.length = 0;
    for (const line of lines) {
      const secret = [PLANTED, SERVER_KEY, PROVIDER_KEY].find((one) => line.replace(NAMES, '').includes(one));
      if (secret !== undefined) throw new Error(`the log contains ${secret}: ${line}`);
      if (!isJsonObject(line)) throw new Error(`a line of the log is not a JSON object: ${line}`);
      if (/"level":"(?:error|fatal)"/u.test(line) && !line.includes('overloaded') && !isExpected(line)) {
        throw new Error(`the log has an error: ${line}`);
      }
    }
  }

  /**
   * Ends it as an orchestrator does.
   * @returns its exit code: 0 if every turn had ended by itself
   */
  async close(): Promise<number | string> {
    await this.#agent.close();
    this.process.signal('SIGTERM');
    const end = await this.process.exited;
    await this.process.stop();
    await this.provider.close();
    return end;
  }

  async #store(): Promise<void> {
    const post = async (path: string, body: object, user?: string): Promise<Readonly<Record<string, unknown>>> => {
      const headers = user === undefined ? {} : { 'sluice-user': user };
      return fieldsIn((await this.http({ method: 'POST', path, headers, body: JSON.stringify(body) })).text);
    };
    for (const user of [undefined, undefined, 'ann']) {
      const { id } = await post('/v1/conversations', { items: [{ role: 'user', content: 'Hi' }] }, user);
      const response = await post('/v1/responses', { input: 'Hi', conversation: id }, user);
      const [item] = response['output'] as readonly { readonly id: string }[];
      const alone = await post('/v1/responses', { input: 'Hi' }, user);
      this.ids.push(...[id, response['id'], item?.id, alone['id']].map(String));
    }
  }
}

/**
 * Requires that an answer is one of PROTOCOL.md.
 * @param neverCodes codes that nothing here may cause
 */
export function expectKnownAnswer(answer: HttpAnswer, neverCodes: ReadonlySet<string>): void {
  if (answer.status >= 400) {
    const { error } = fieldsIn(answer.text);
    expectKnownError(error, answer.status, neverCodes);
  } else if (answer.type.startsWith('text/event-stream')) {
    expectEnded(answer.text);
  } else if (![200, 204].includes(answer.status)) {
    throw new Error(`got ${show(answer)}`);
  } else if (answer.type.startsWith('application/json')) {
    // JSON, or JSON lines.
    for (const line of answer.text.trimEnd().split('\n')) if (line !== '') fieldsIn(line);
  }
}

/** @throws unless a stream ends with the end marker or an error (SSE-2, CHAT-3) */
function expectEnded(text: string): void {
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  const ended = last === 'data: [DONE]' || (last.startsWith('data: {') && 'error' in fieldsIn(last.slice(6)));
  if (!ended) throw new Error(`a stream ended with ${last.slice(0, 500)}`);
}

export function expectKnownError(error: unknown, status: unknown, neverCodes: ReadonlySet<string>): void {
  const { code, type, message, param } = isObject(error) ? error : {};
  const known = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) ? code : undefined;
  // The code was found in the table.
  const meaning = known === undefined ? undefined : ERROR_CODES[known as keyof typeof ERROR_CODES];
  // An error inside the provider is a 502, whose code is the provider's (REST-6).
  const isProviders = code === 'server_error' && status === 502;
  const fits =
    (isProviders || meaning?.status === status) &&
    meaning?.type === type &&
    typeof message === 'string' &&
    param !== undefined;
  if (!fits || neverCodes.has(String(code)) || /[^\x20-\x7e‘’“”…–]/u.test(message)) {
    throw new Error(`got the error ${JSON.stringify(error)} with status ${String(status)}`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isJsonObject(text: string): boolean {
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

/** @throws if the text is not a JSON object */
export function fieldsIn(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error(`not a JSON object: ${text.slice(0, 500)}`);
  return value;
}

export const show = ({ status, text }: HttpAnswer): string => `${status} ${text.slice(0, 1_000)}`;

/** Runs `work`, and adds the case to what it throws. */
export async function naming<T>(shown: unknown, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const what = typeof shown === 'string' ? shown : JSON.stringify(shown);
    throw new Error(`${thrown instanceof Error ? thrown.message : String(thrown)}\nfor ${what.slice(0, 4_000)}`, {
      cause: thrown,
    });
  }
}
