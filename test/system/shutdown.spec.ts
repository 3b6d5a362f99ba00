/* Signals and exit codes of a real process. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { deltasOf, responseIn, terminalOf, typesOf } from '../support/gateway-harness.js';
import { GatewayProcess } from '../support/gateway-process.js';
import { isTerminalFrame, RawClient } from '../support/raw-client.js';
import { allowed } from '../support/machine.js';

let gateway: GatewayProcess;
afterEach(() => gateway.stop());

async function asking(input: string): Promise<{ client: RawClient; id: string }> {
  const client = await RawClient.open(gateway.socketUrl, { protocols: ['sluice.v1'] });
  client.create({ input });
  const { id } = responseIn(await client.until('response.created'));
  await client.until('response.output_text.delta');
  return { client, id };
}

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'drains at %s: refuses at once, sends the running answer to its end, closes with 1012, exits with 0 [DRAIN-1, DRAIN-2, DRAIN-3, DRAIN-5]',
    async (signal) => {
      gateway = await GatewayProcess.start();
      const { client } = await asking('demo: deltas=60 interval=20ms text=numbers');
      gateway.signal(signal);
      while ((await gateway.probe('/ready'))?.status === 200);
      expect(await gateway.probe('/ready')).toMatchObject({ status: 503, body: { reason: 'draining' } });
      expect(await gateway.probe('/health')).toMatchObject({ status: 200 });
      const refused = await fetch(`${gateway.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"input":"x"}',
      });
      expect(refused.status).toBe(503);
      expect(refused.headers.get('retry-after')).toBe('1');
      expect((await RawClient.refused(gateway.socketUrl)).status).toBe(503);

      const { code } = await client.closed;
      expect(code).toBe(1012);
      const [terminal] = client.frames.filter(isTerminalFrame);
      expect(terminal?.type).toBe('response.completed');
      expect(deltasOf(client.frames).split(' ')).toHaveLength(60);
      expect(typesOf(client.frames)).toContain('sluice:draining');
      expect(await gateway.exited).toBe(0);
      expect(gateway.output).toContain('shutting down server...');
      expect(gateway.output).toContain('server exited');
      expect(gateway.output.indexOf('server exited')).toBeGreaterThan(
        gateway.output.indexOf('shutting down server...'),
      );
    },
  );

  it('fails running turns at the end of the grace, keeps their text and exits with 1 [DRAIN-4, DRAIN-5]', async () => {
    gateway = await GatewayProcess.start({ app: { shutdown_timeout: '300ms' } });
    const { client } = await asking('demo: hang after=3');
    gateway.signal('SIGTERM');
    const { code } = await client.closed;
    expect(code).toBe(1012);
    const terminal = terminalOf(client.frames.filter(isTerminalFrame));
    expect(terminal).toMatchObject({ status: 'failed', error: { code: 'replica_lost' } });
    expect(terminal.output_text).toBe(deltasOf(client.frames));
    expect(terminal.output_text).not.toBe('');
    expect(await gateway.exited).toBe(1);
  });

  it('ends running turns at once when sent twice, and exits with the code of the signal [DRAIN-5]', async () => {
    gateway = await GatewayProcess.start({ app: { shutdown_timeout: '1h' } });
    const { client } = await asking('demo: hang after=3');
    gateway.signal('SIGTERM');
    while ((await gateway.probe('/ready'))?.status === 200);
    const secondAt = performance.now();
    gateway.signal('SIGINT');
    const { code } = await client.closed;
    expect(code).toBe(1012);
    expect(terminalOf(client.frames.filter(isTerminalFrame)).error?.code).toBe('replica_lost');
    expect(await gateway.exited).toBe(130);
    expect(performance.now() - secondAt).toBeLessThan(allowed(6_000));
  });

  it('exits soon with 0 if no client is connected [DRAIN-5]', async () => {
    gateway = await GatewayProcess.start();
    const startedAt = performance.now();
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(allowed(3_000));
  });
});
