/*
 * The operations listener: liveness, readiness and metrics, on a port of its own that clients never
 * reach. It stays open until the end of a drain, so that the probes see the drain. Knows nothing of
 * turns or sockets.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { acceptsOpenMetrics } from '../observability/openmetrics.js';
import { type Readiness } from './readiness.js';

/** The part of the metrics that is used here. */
export interface MetricsExposition {
  exposition(format: 'text' | 'openmetrics'): Promise<{ readonly contentType: string; readonly body: string }>;
}

export interface OpsServerOptions {
  readonly host: string;
  /** Port to listen on. 0: any free port. */
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

  /** @param metrics null: no metrics page, only the probes */
  constructor(
    private readonly readiness: Pick<Readiness, 'report'>,
    private readonly metrics: MetricsExposition | null,
    private readonly options: OpsServerOptions,
  ) {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /**
   * Starts listening.
   * @throws Node's listen error (`EADDRINUSE`, …), which start-failure.ts describes
   */
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

  /** The port of the listener, after start. */
  get port(): number {
    // The address of a listening TCP server is never a string.
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
      // Update the gauge of readiness with each scrape: nothing may request the probe.
      await this.readiness.report();
      const format = acceptsOpenMetrics(request.headers.accept) ? 'openmetrics' : 'text';
      return { status: 200, ...(await this.metrics.exposition(format)) };
    }
    return json(404, { status: 'not found' });
  }
}
