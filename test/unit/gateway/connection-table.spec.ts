/*
 * What is done to all sockets, by a clock that a test moves: heartbeat, maximum age, expiring
 * credentials, closing.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ClientConnection, type Handshake } from '../../../src/gateway/connection.js';
import { ConnectionTable } from '../../../src/gateway/connection-table.js';
import { type SocketSettings } from '../../../src/gateway/settings.js';
import { HandTime } from '../../support/hand-time.js';
import { ALICE, BOB } from '../turn/turn-harness.js';
import { type FakeSocket } from './fake-socket.js';
import { ConnectionHarness, SETTINGS, until } from './connection-harness.js';

let harness: ConnectionHarness;
let time: HandTime;
let table: ConnectionTable;

function tableOf(settings: Partial<SocketSettings> = {}): ConnectionTable {
  return new ConnectionTable({ ...SETTINGS, ...settings }, harness.metrics, time);
}

function open(handshake: Partial<Handshake> = {}): { connection: ClientConnection; socket: FakeSocket } {
  const opened = harness.connect(handshake);
  table.add(opened.connection);
  opened.socket.on('close', (code: number) => table.remove(opened.connection, code));
  return opened;
}

beforeEach(() => {
  harness = new ConnectionHarness();
  time = new HandTime();
  table = tableOf();
});
afterEach(async () => {
  table.terminateAll();
  await harness.close();
});

describe('the heartbeat', () => {
  it('pings at its interval, and not again before the answer [WS-11]', () => {
    const { socket } = open();
    time.pass(19_999);
    expect(socket.pings).toBe(0);
    time.pass(1);
    expect(socket.pings).toBe(1);
    time.pass(1_000);
    expect(socket.pings).toBe(1);
  });

  it('ends a connection that does not answer in time, and no other [WS-11]', () => {
    const silent = open();
    const alive = open();
    time.pass(20_000);
    table.ponged(alive.connection);
    time.pass(9_999);
    expect(silent.socket.terminated).toBe(false);
    time.pass(1);
    expect(silent.socket.terminated).toBe(true);
    expect(alive.socket.terminated).toBe(false);
    expect(table.size).toBe(1);
  });

  it('waits for the answer while the gateway itself does not read from the socket [WS-11]', () => {
    const { connection, socket } = open();
    time.pass(20_000);
    connection.reading = false;
    time.pass(60_000);
    expect(socket.terminated).toBe(false);
    connection.reading = true;
    time.pass(10_000);
    expect(socket.terminated).toBe(true);
  });

  it('waits for the pong of a slow reader: the ping queues behind unread data', () => {
    const { socket } = open();
    socket.bufferedAmount = 60_000;
    time.pass(20_000);
    for (let looked = 0; looked < 30; looked++) {
      socket.bufferedAmount -= 1_000;
      time.pass(1_000);
    }
    expect(socket.terminated).toBe(false);
    for (let looked = 0; looked < 11; looked++) {
      time.pass(1_000);
    }
    expect(socket.terminated).toBe(true);
  });

  it('leaves a full socket to the slow-reader timeout of its outbound', () => {
    const { connection, socket } = open();
    time.pass(22_001);
    socket.reads = false;
    connection.sendEvent({ type: 'sluice:pong', id: 'x'.repeat(70_000) });
    time.pass(10_000);
    expect(socket.terminated).toBe(false);
    connection.outbound.close();
  });
});

describe('age and credentials', () => {
  beforeEach(() => {
    table = tableOf({ heartbeatIntervalMs: 10_000_000 });
  });

  it('closes a connection over its maximum age with 1012', () => {
    table = tableOf({ maxConnectionAgeMs: 60_000, heartbeatIntervalMs: 10_000_000 });
    const { socket } = open();
    time.pass(59_000);
    expect(socket.closed).toBeUndefined();
    time.pass(2_000);
    expect(socket.closed?.code).toBe(1012);
  });

  it('closes connections that were opened together at ages 10 % below and above the maximum [WS-15]', () => {
    table = tableOf({ maxConnectionAgeMs: 60_000, heartbeatIntervalMs: 10_000_000 });
    const random = jest.spyOn(time, 'random');
    random.mockReturnValue(0);
    const early = open().socket;
    random.mockReturnValue(1);
    const late = open().socket;
    time.pass(54_000);
    expect([early.closed?.code, late.closed]).toEqual([1012, undefined]);
    time.pass(11_000);
    expect(late.closed).toBeUndefined();
    time.pass(1_000);
    expect(late.closed?.code).toBe(1012);
  });

  it('announces the end of a credential once, a minute before, and closes 10 s after it', () => {
    const { socket, connection } = open({
      snapshots: true,
      principal: { ...ALICE, expiresAtMs: time.date() + 600_000 },
    });
    time.pass(539_000);
    expect(socket.frames).toEqual([]);
    time.pass(1_000);
    expect(socket.frames).toEqual([{ type: 'sluice:auth_expiring', expires_in_ms: 60_000 }]);
    connection.principal = { ...ALICE, expiresAtMs: time.date() + 600_000 };
    time.pass(60_000);
    expect(socket.closed).toBeUndefined();
    time.pass(540_000);
    expect(socket.closed).toBeUndefined();
    time.pass(10_000);
    expect(socket.closed?.code).toBe(1012);
  });

  it('announces the end of a short-lived credential at half of its life', () => {
    const { socket } = open({ snapshots: true, principal: { ...ALICE, expiresAtMs: time.date() + 20_000 } });
    time.pass(9_000);
    expect(socket.frames).toEqual([]);
    time.pass(1_100);
    expect(socket.types).toEqual(['sluice:auth_expiring']);
  });
});

describe('the limit of sockets', () => {
  it('counts the open sockets of the replica', () => {
    table = tableOf({ maxConnections: 2 });
    const first = open();
    expect(table.full).toBe(false);
    open({ principal: BOB });
    expect(table.full).toBe(true);
    first.socket.terminate();
    first.socket.emit('close', 1006);
    expect(table.size).toBe(1);
    expect(table.full).toBe(false);
  });
});

describe('closing all sockets', () => {
  it('closes every socket with 1012, notifies those that opted in before, and cuts those that do not answer', async () => {
    const sockets = Array.from({ length: 30 }, (_, i) => open({ snapshots: i < 29 }).socket);
    const quiet = sockets.at(-1);
    const answering = sockets.slice(1);
    for (const socket of answering) {
      const close = socket.close.bind(socket);
      socket.close = (code, reason) => {
        close(code, reason);
        setImmediate(() => socket.emit('close', code));
      };
    }
    table.announceDraining(1_000);
    const startedAt = time.now();
    let closed = false;
    void table.closeAll(1012, 'draining', 20).then(() => (closed = true));
    while (!closed) {
      time.pass(1);
      await new Promise(setImmediate);
    }
    // The drain gives sockets 1 s beside the time they are spread over (lifecycle/drain.ts).
    expect(time.now() - startedAt).toBeLessThan(20 + 1_000);
    for (const socket of sockets) {
      expect(socket.types).toEqual(socket === quiet ? [] : ['sluice:draining']);
      expect(socket.closed).toEqual({ code: 1012, reason: 'draining' });
    }
    expect(sockets[0]?.terminated).toBe(true);
    expect(answering.some(({ terminated }) => terminated)).toBe(false);
    expect(table.size).toBe(0);
  });

  it('closes a socket that is opened while all are closed', async () => {
    void table.closeAll(1012, 'draining', 0);
    const { socket } = open();
    await until(() => socket.closed !== undefined);
    expect(socket.closed?.code).toBe(1012);
  });
});
