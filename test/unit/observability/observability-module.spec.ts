import { Controller, Get, Injectable, Logger, Module } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { Logger as NestPinoLogger } from 'nestjs-pino';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Log } from '../../../src/observability/log.js';
import { createPino } from '../../../src/observability/logger.js';
import { Metrics, metricPrefix } from '../../../src/observability/metrics.js';
import { nestLog, ObservabilityModule } from '../../../src/observability/observability.module.js';

@Injectable()
class UsesBoth {
  constructor(
    readonly log: Log,
    readonly metrics: Metrics,
  ) {}
}

@Controller()
class HelloController {
  @Get('hello')
  hello(): string {
    return 'hello';
  }
}

@Module({ providers: [UsesBoth], controllers: [HelloController] })
class UserModule {}

describe('the module', () => {
  const lines: string[] = [];
  const metrics = new Metrics({ prefix: metricPrefix('support-bot'), version: '1' });
  let app: NestFastifyApplication;

  beforeAll(async () => {
    const logger = createPino({
      logging: { level: 'info', format: 'json', output: 'stdout' },
      destination: { write: (line) => void lines.push(line) },
    });
    const built = await Test.createTestingModule({
      imports: [ObservabilityModule.forRoot({ logger, metrics }), UserModule],
    }).compile();
    app = built.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    app.useLogger(nestLog(app.get(NestPinoLogger)));
    await app.init();
  });
  afterAll(() => app.close());

  it('provides Log and Metrics to every module', () => {
    const user = app.get(UsesBoth);
    user.log.info({ request_id: 'req_1' }, 'request received');
    expect(user.metrics).toBe(metrics);
    expect(lines.at(-1)).toContain('"request_id":"req_1"');
  });

  it('writes the lines of Nest through the same log, scrubbed', () => {
    new Logger('Somewhere').error('redis://u:hunter2@r failed');
    expect(lines.at(-1)).toContain('[redacted]@r failed');
    expect(lines.at(-1)).toContain('"context":"Somewhere"');
  });

  it('writes the wiring lines of Nest at level debug', () => {
    const before = lines.length;
    new Logger('Somewhere').log('Mapped {/hello, GET} route');
    expect(lines.slice(before)).toEqual([]);
    expect(lines.join('')).not.toContain('dependencies initialized');
    new Logger('Somewhere').warn('something is odd');
    expect(lines.slice(before)).toEqual([expect.stringContaining('something is odd')]);
  });

  it('serves no /metrics on the application port and writes no request lines of its own', async () => {
    expect((await app.inject('/metrics')).statusCode).toBe(404);
    const before = lines.length;
    expect((await app.inject('/hello')).body).toBe('hello');
    expect(lines.slice(before)).toEqual([]);
  });

  it('exports the metrics of the runtime under the same prefix', async () => {
    const text = await metrics.render();
    expect(text).toContain('support_bot_nodejs_eventloop_lag_seconds');
    expect(text).toContain('support_bot_process_cpu_seconds_total');
  });
});
