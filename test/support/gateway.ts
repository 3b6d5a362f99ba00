/* The real gateway for tests: its own configuration file, ports of its own, every log line kept. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { loadConfig } from '../../src/config/load.js';
import { secretsIn } from '../../src/config/secret.js';
import { SluiceError } from '../../src/domain/errors.js';
import { createGateway, type Gateway } from '../../src/compose/gateway-app.js';
import { createPino } from '../../src/observability/logger.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import { patient } from '../../scripts/development/cluster/patient-provider.js';

export interface GatewayOptions {
  /** Sections of the configuration file; ports are free ones unless given. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

export interface TestGateway {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** `ws://127.0.0.1:PORT/v1/responses` */
  readonly socketUrl: string;
  readonly opsUrl: string;
  readonly port: number;
  /** Every line logged so far. */
  readonly lines: readonly string[];
  readonly gateway: Gateway;
  /**
   * One metric's value by its full series, such as `sluice_requests_total{status="success"}`; 0
   * where there is none.
   */
  metric(series: string): Promise<number>;
  close(): Promise<void>;
  /**
   * Simulates a crash: cuts every socket without a close frame, and starts another gateway with
   * empty state on the same port.
   */
  restart(): Promise<void>;
}

const CLIENT_DIRECTORY = resolve('dist/client');

export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const lines: string[] = [];
  const start = async (port: number): Promise<Gateway> => {
    const path = join(directory, 'config.json');
    writeFileSync(path, JSON.stringify(patient(options.config ?? {})));
    const { config } = loadConfig({ types: PROVIDER_TYPES, path, env: { ...options.env } });
    const destination = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(...chunk.toString().trimEnd().split('\n'));
        done();
      },
    });
    const logger = createPino({
      logging: config.monitoring.logging,
      secrets: secretsIn(config),
      destination,
    });
    // The file cannot say "any free port"; the listeners can.
    const free = {
      ...config,
      monitoring: { ...config.monitoring, metrics: { ...config.monitoring.metrics, port: 0 } },
    };
    const gateway = await createGateway(free, logger, { clientDirectory: CLIENT_DIRECTORY });
    // This process is also the client and the provider, on a machine that may be busy: its lag says
    // nothing of the gateway.
    Object.defineProperty(gateway.parts.overload, 'lagging', { value: false });
    await gateway.app.listen({ host: '127.0.0.1', port });
    return gateway;
  };
  let gateway = await start(0);
  const port = portOf(gateway);
  const test: TestGateway = {
    url: `http://127.0.0.1:${port}`,
    socketUrl: `ws://127.0.0.1:${port}/v1/responses`,
    port,
    get opsUrl() {
      return `http://127.0.0.1:${gateway.ops.port}`;
    },
    lines,
    get gateway() {
      return gateway;
    },
    async metric(series) {
      const text = await gateway.metrics.render();
      const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
      return line === undefined ? 0 : Number(line.slice(series.length + 1));
    },
    async close() {
      await gateway.app.close();
      rmSync(directory, { recursive: true, force: true });
    },
    async restart() {
      // Who comes back before there is another gateway is sent away.
      gateway.parts.drain.startDraining();
      gateway.parts.table.terminateAll();
      const gone = new SluiceError('replica_lost', 'unable to continue; the test ended this gateway');
      await gateway.parts.turns.abortAll(gone);
      await gateway.app.close();
      gateway = await start(port);
    },
  };
  return test;
}

function portOf({ app }: Gateway): number {
  // A TCP listener's address is always this.
  return (app.getHttpServer().address() as AddressInfo).port;
}
