/* What is done to all sockets, by a clock that a test moves: heartbeat, greatest age, ending credentials, the goodbye. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Handshake } from '../../../src/gateway/connection.js';
import { ConnectionTable } from '../../../src/gateway/connection-table.js';
import { type Connection } from '../../../src/gateway/connection.js';
import { type SocketSettings } from '../../../src/gateway/settings.js';
import { ALICE, BOB } from '../turn/turn-bench.js';
import { type FakeSocket } from './fake-socket.js';
import { GatewayBench, SETTINGS, until } from './gateway-bench.js';
import { allowed } from '../../support/machine.js';

let bench: GatewayBench;
let now: number;
let table: ConnectionTable;

function tableOf(settings: Partial<SocketSettings> = {}): ConnectionTable {
  return new ConnectionTable({ ...SETTINGS, ...settings }, bench.metrics, () => now);
}

function open(handshake: Partial<Handshake> = {}): { connection: Connection; socket: FakeSocket } {
  const opened = bench.connect(handshake);
  table.add(opened.connection);
  opened.socket.on('close', (code: number) => table.remove(opened.connection, code));
  return opened;
}

beforeEach(() => {
  bench = new GatewayBench();
  now = Date.now();
  table = tableOf();
});
afterEach(async () => {
  table.terminateAll();
  await bench.close();
});

describe('the heartbeat', () => {
  it('pings within ten percent of its interval, and not again before the answer', () => {
    const { socket } = open();
    now += 17_999;
    table.look();
    expect(socket.pings).toBe(0);
    now += 4_002;
    table.look();
    expect(socket.pings).toBe(1);
    now += 1_000;
    table.look();
    expect(socket.pings).toBe(1);
  });

  it('ends what does not answer in time, and leaves alone what does', () => {
    const silent = open();
    const alive = open();
    now += 22_001;
    table.look();
    alive.connection.pingedAtMs = null;
    now += 9_999;
    table.look();
    expect(silent.socket.terminated).toBe(false);
    now += 1;
    table.look();
    expect(silent.socket.terminated).toBe(true);
    expect(alive.socket.terminated).toBe(false);
    expect(table.size).toBe(1);
  });

  it('waits for the answer of one that reads slowly: the ping stands behind what it has not read', () => {
    const { socket } = open();
    socket.bufferedAmount = 60_000;
    now += 22_001;
    table.look();
    for (let looked = 0; looked < 30; looked++) {
      now += 1_000;
      socket.bufferedAmount -= 1_000;
      table.look();
    }
    expect(socket.terminated).toBe(false);
    for (let looked = 0; looked < 11; looked++) {
      now += 1_000;
      table.look();
    }
    expect(socket.terminated).toBe(true);
  });

  it('leaves a full socket to its outbound, which says why it closes', () => {
    const { connection, socket } = open();
    now += 22_001;
    table.look();
    socket.reads = false;
    connection.tell({ type: 'sluice:pong', id: 'x'.repeat(70_000) });
    now += 10_000;
    table.look();
    expect(socket.terminated).toBe(false);
    connection.outbound.close();
  });
});

describe('age and credentials', () => {
  beforeEach(() => {
    table = tableOf({ heartbeatIntervalMs: 10_000_000 });
  });

  it('closes what is too old with 1012', () => {
    table = tableOf({ maxConnectionAgeMs: 60_000 });
    const { socket } = open();
    now += 59_000;
    table.look();
    expect(socket.closed).toBeUndefined();
    now += 2_000;
    table.look();
    expect(socket.closed?.code).toBe(1012);
  });

  it('tells a credential’s end a minute before, once, and closes at it', () => {
    const { socket, connection } = open({ principal: { ...ALICE, expiresAtMs: now + 600_000 } });
    now += 539_000;
    table.look();
    expect(socket.frames).toEqual([]);
    now += 1_000;
    table.look();
    table.look();
    expect(socket.frames).toEqual([{ type: 'sluice:auth_expiring', expires_in_ms: 60_000 }]);
    connection.renewCredential({ ...ALICE, expiresAtMs: now + 600_000 });
    now += 60_000;
    table.look();
    expect(socket.closed).toBeUndefined();
    now += 540_000;
    table.look();
    expect(socket.closed?.code).toBe(1012);
  });

  it('tells the end of a short life at its half', () => {
    const { socket } = open({ principal: { ...ALICE, expiresAtMs: now + 20_000 } });
    now += 9_000;
    table.look();
    expect(socket.frames).toEqual([]);
    now += 1_100;
    table.look();
    expect(socket.types).toEqual(['sluice:auth_expiring']);
  });
});

describe('room', () => {
  it('counts sockets of all and of each owner', () => {
    table = tableOf({ maxConnections: 3, maxConnectionsPerUser: 2 });
    const first = open();
    open();
    expect(table.fullFor(ALICE)).toBe('user');
    expect(table.fullFor(BOB)).toBeNull();
    open({ principal: BOB });
    expect(table.fullFor(BOB)).toBe('replica');
    first.socket.terminate();
    first.socket.emit('close', 1006);
    expect(table.size).toBe(2);
    expect(table.fullFor(ALICE)).toBeNull();
  });
});

describe('the goodbye', () => {
  it('says 1012 to every socket, and cuts the ones that do not answer', async () => {
    const sockets = Array.from({ length: 30 }, () => open().socket);
    const answering = sockets.slice(1);
    for (const socket of answering) {
      const close = socket.close.bind(socket);
      socket.close = (code, reason) => {
        close(code, reason);
        setImmediate(() => socket.emit('close', code));
      };
    }
    table.announceDraining(1_000);
    const startedAt = performance.now();
    await table.closeAll(1012, 'draining', 20);
    // The drain gives sockets 1 s beside the time they are spread over (lifecycle/drain.ts).
    expect(performance.now() - startedAt).toBeLessThan(allowed(20 + 2_000));
    for (const socket of sockets) {
      expect(socket.types).toEqual(['sluice:draining']);
      expect(socket.closed).toEqual({ code: 1012, reason: 'draining' });
    }
    expect(sockets[0]?.terminated).toBe(true);
    expect(answering.some(({ terminated }) => terminated)).toBe(false);
    expect(table.size).toBe(0);
  });

  it('is said to a socket, too, that was just being opened', async () => {
    await table.closeAll(1012, 'draining', 0);
    const { socket } = open();
    await until(() => socket.closed !== undefined);
    expect(socket.closed?.code).toBe(1012);
  });
});
