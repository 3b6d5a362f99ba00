/*
 * The operators' listener: liveness, readiness, metrics, on a port of its own that clients never reach. It stays open to
 * the very end of a drain, so that the probes see it. Knows nothing of turns or sockets.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { type Readiness } from './readiness.js';

/** What prom-client's registry offers, without the library. */
export interface MetricsExposition {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface OpsServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly metricsPath: string;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const json = (status: number, body: object): Answer => ({
  status,
  contentType: 'application/json; charset=utf-8',
  body: JSON.stringify(body),
});

export class OpsServer implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #server: Server;

  /** `metrics` null: there is no metrics page; the probes stay. */
  constructor(
    private readonly readiness: Pick<Readiness, 'report'>,
    private readonly metrics: MetricsExposition | null,
    private readonly options: OpsServerOptions,
  ) {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** @throws the listen error as Node gives it (`EADDRINUSE`, …), which start-failure.ts puts into words. */
  async onApplicationBootstrap(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: this.options.host, port: this.options.port }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  async onApplicationShutdown(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** The port listened on; meaningful after start. */
  get port(): number {
    // A listening TCP server's address is never a pipe's name.
    return (this.#server.address() as AddressInfo).port;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, contentType, body } = await this.#answer(request).catch(() => json(500, { status: 'error' }));
    response.writeHead(status, {
      'content-type': contentType,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const path = request.url?.split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return json(404, { status: 'not found' });
    if (path === '/health') return json(200, { status: 'healthy' });
    if (path === '/ready') {
      const report = await this.readiness.report();
      return json(report.status === 'ready' ? 200 : 503, report);
    }
    if (path === this.options.metricsPath && this.metrics !== null) {
      return { status: 200, contentType: this.metrics.contentType, body: await this.metrics.metrics() };
    }
    return json(404, { status: 'not found' });
  }
}
