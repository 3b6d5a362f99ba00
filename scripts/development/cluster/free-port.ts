/*
 * Finds free loopback ports below the range from which the system takes the ports of outgoing
 * connections.
 */

import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Each worker process of the tests has ports of its own. Two that searched in one range could find
 * the same port free: a replica would fail to start on it, and its health check be answered by the
 * replica of the other worker.
 */
const RANGES = 10;
const PORTS = 1_200;
const LOWEST = 20_000 + (Number(process.env['JEST_WORKER_ID'] ?? 0) % RANGES) * PORTS;
const given = new Set<number>();

/** Part of the gateway's error message when a port is in use. */
export const PORT_TAKEN = 'is taken by another program';

/**
 * Another program took a port after it was found free: other processes may search for free ports at
 * the same time.
 */
export class PortTaken extends Error {}

const TRIES = 5;

/**
 * Runs `start`, which finds its own ports, and retries it up to five times if it fails with
 * `PortTaken`.
 */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof PortTaken) || tries === TRIES) throw error;
    }
  }
}

/** @returns a port that a server can keep across restarts while many clients connect */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * PORTS);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.listen(port, '127.0.0.1');
  if (!(await listening)) return false;
  server.close();
  await once(server, 'close');
  return true;
}
