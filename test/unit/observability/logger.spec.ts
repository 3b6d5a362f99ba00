import { describe, expect, it } from '@jest/globals';
import { Secret } from '../../../src/config/secret.js';
import { LogOnlyCause, SluiceError } from '../../../src/domain/errors.js';
import { PinoLog, createPino } from '../../../src/observability/logger.js';

const KEY = 'provider-key/with"odd+characters';

function capture(format: 'json' | 'pretty' = 'json', level: 'info' | 'debug' = 'debug') {
  const lines: string[] = [];
  const logger = createPino({
    logging: { level, format, output: 'stdout' },
    base: { name: 'support-bot' },
    secrets: [new Secret(KEY)],
    destination: { write: (line: string) => void lines.push(line) },
  });
  return {
    log: new PinoLog(logger),
    logger,
    lines,
    text: () => lines.join(''),
    last: () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>,
  };
}

describe('log lines', () => {
  it("writes level by name, time, base fields, the child's fields and the fields of the line", () => {
    const { log, last } = capture();
    log.child({ request_id: 'req_1' }).info({ duration_ms: 5 }, 'request completed');
    expect(last()).toMatchObject({
      level: 'info',
      name: 'support-bot',
      request_id: 'req_1',
      duration_ms: 5,
      msg: 'request completed',
    });
    expect(String(last()['time'])).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  it('writes no lines below the level', () => {
    const { log, lines } = capture('json', 'info');
    log.debug({}, 'no');
    log.warn({}, 'yes');
    expect(lines).toHaveLength(1);
  });

  it('writes readable lines in the pretty format', () => {
    const { log, text } = capture('pretty');
    log.error({ response_id: 'resp_1' }, 'request failed');
    expect(text()).toMatch(/ERROR.*: request failed \{"response_id":"resp_1"\}\n$/);
  });
});

describe('logged errors', () => {
  it('keeps code, message, status and cause of own errors', () => {
    const { log, last } = capture();
    const cause = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:443'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
      errno: -111,
    });
    log.error(
      { err: new SluiceError('provider_unavailable', 'unable to reach the provider; refused; try again', { cause }) },
      'request failed',
    );
    expect(last()['err']).toMatchObject({
      type: 'SluiceError',
      code: 'provider_unavailable',
      status: 503,
      message: 'unable to reach the provider; refused; try again',
      cause: { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 10.0.0.1:443' },
    });
  });

  it.each([
    ['provider_unavailable', new TypeError('fetch failed', { cause: new Error('connect') })],
    ['provider_timeout', undefined],
    ['rate_limit_exceeded', undefined],
    ['state_unavailable', new Error('Connection is closed.')],
    ['server_error', new LogOnlyCause('the provider answered HTTP 500')],
  ] as const)('writes no stack of the expected error %s and of its causes', (code, cause) => {
    const { log, text } = capture();
    log.error({ err: new SluiceError(code, 'unable to get an answer', { cause }) }, 'request failed');
    expect(text()).toContain(`"code":"${code}"`);
    expect(text()).not.toContain('"stack"');
  });

  it.each([new SluiceError('server_error', 'unable', { cause: new TypeError('x') }), new TypeError('x')])(
    'writes the stack of an unexpected error: %s',
    (err) => {
      const { log, last } = capture();
      log.error({ err }, 'request failed');
      expect(last()['err']).toMatchObject({ stack: expect.stringContaining('logger.spec') });
    },
  );

  it('keeps the message of a cause that is a SluiceError', () => {
    const { log, last } = capture();
    const cause = new LogOnlyCause('the provider answered HTTP 401 (type -, code invalid_api_key)');
    log.error({ err: new SluiceError('provider_refused', 'unable to get an answer', { cause }) }, 'request failed');
    expect(last()['err']).toMatchObject({ cause: { message: cause.message } });
  });

  it('prints expected errors on one line in the pretty format, and bugs with their stack', () => {
    const { log, lines } = capture('pretty');
    const cause = new LogOnlyCause('the provider answered HTTP 401');
    log.error({ err: new SluiceError('provider_refused', 'unable to get an answer', { cause }) }, 'request failed');
    expect(lines.join('').trimEnd()).not.toContain('\n');
    expect(lines.join('')).toMatch(/request failed .*provider_refused.*HTTP 401/);
    log.error({ err: new SluiceError('server_error', 'unable', { cause: new TypeError('x') }) }, 'request failed');
    expect(lines.at(-1)).toMatch(/\n +at .*logger\.spec/);
  });

  it('keeps only type, code and place of foreign errors', () => {
    const { log, logger, text, last } = capture();
    class APIError extends Error {
      override readonly name = 'APIError';
      readonly status = 400;
      readonly headers = { authorization: 'planted-1' };
      readonly request = { body: 'planted-2' };
    }
    const foreign = new APIError('400 the user said planted-3');
    log.error({ err: foreign }, 'request failed');
    expect(last()['err']).toMatchObject({ type: 'APIError', status: 400 });
    logger.error(foreign);
    logger.error({ err: foreign });
    logger.error({ error: new SluiceError('server_error', 'unable', { cause: foreign }) }, 'x');
    expect(() => JSON.parse('planted-4')).toThrow();
    try {
      JSON.parse('planted-4');
    } catch (error) {
      log.error({ err: error }, 'bad json');
    }
    log.error({ err: 'planted-5' }, 'thrown text');
    expect(text()).not.toContain('planted');
  });
});

describe('secrets of every shape, planted everywhere', () => {
  const SECRETS = {
    openai: 'sk-proj-AbCdEf0123456789',
    client: 'ek_0123456789abcdef',
    bearer: 'opaque.token-0123456789',
    redis: 'hunter2-redis',
    jwt: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIz',
    cookie: 'sid-0123456789',
  };
  const carriers = [
    `Authorization: Bearer ${SECRETS.bearer}`,
    `key ${SECRETS.openai} and ${SECRETS.client}`,
    `redis://default:${SECRETS.redis}@redis:6379/0 is away`,
    `token ${SECRETS.jwt}`,
    `sluice.v1, sluice.bearer.${SECRETS.bearer}`,
    `the key is ${KEY}`,
    `?key=${encodeURIComponent(KEY)}`,
  ];

  it.each(['json', 'pretty'] as const)('keeps planted secrets of every shape out of the %s output', (format) => {
    const { log, logger, text } = capture(format);
    for (const carrier of carriers) {
      log.info({ url: carrier, list: [carrier], deep: { er: { est: carrier } } }, carrier);
      log.child({ where: carrier }).warn({}, 'child');
      log.error({ err: new SluiceError('server_error', carrier, { cause: new TypeError(carrier) }) }, carrier);
      logger.error(new Error(carrier));
      logger.info(carrier);
      logger.info('%s', carrier);
    }
    const headers = {
      authorization: `Bearer ${SECRETS.bearer}`,
      cookie: SECRETS.cookie,
      'sec-websocket-protocol': SECRETS.cookie,
    };
    log.info(
      {
        headers,
        req: { headers },
        request: { headers },
        authorization: SECRETS.cookie,
        password: SECRETS.cookie,
        some: headers,
      },
      'x',
    );
    log.info({ body: { input: SECRETS.cookie } }, 'x');

    const output = text();
    for (const secret of Object.values(SECRETS)) expect(output).not.toContain(secret);
    expect(output).not.toContain('odd+characters');
    expect(output).not.toContain(encodeURIComponent(KEY));
    expect(output).toContain('[redacted]');
    if (format === 'json')
      for (const line of output.trim().split('\n')) expect(JSON.parse(line)).toBeInstanceOf(Object);
  });

  it('are removed by the names of fields on three levels, in lists, in children and in inserted values', () => {
    const { log, logger, text, last } = capture();
    const fields = { a: { b: { token: 'planted' } }, list: [{ password: 'planted' }], api_key: 7, kept: 'kept' };
    log.info(fields, 'x');
    expect(last()).toMatchObject({
      a: { b: { token: '[redacted]' } },
      list: [{ password: '[redacted]' }],
      api_key: '[redacted]',
      kept: 'kept',
    });
    expect(fields.a.b.token).toBe('planted');
    log.child({ some: { secret: 'planted' } }).info({}, 'x');
    expect(last()).toMatchObject({ some: { secret: '[redacted]' } });
    logger.info('inserted %j', { cookie: 'planted' });
    expect(last()).toMatchObject({ msg: 'inserted {"cookie":"[redacted]"}' });
    expect(text()).not.toContain('planted');
  });

  it('leave fields that write themselves unchanged', () => {
    const { log, last } = capture();
    log.info({ at: new Date(0), key: new Secret('planted-key') }, 'x');
    expect(last()).toMatchObject({ at: '1970-01-01T00:00:00.000Z', key: '[redacted]' });
  });
});
