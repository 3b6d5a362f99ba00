/*
 * Loaded into a replica before its own code (`--import`): lets a test set its wall clock, and stop
 * it at the worst moment. The test writes files into the folder of the replica's configuration
 * (replica.ts):
 *   clock-shift      milliseconds by which the wall clock differs from the machine's
 *   stop-before-log  the replica stops itself (SIGSTOP) after it has joined a conversation's queue and before it writes the turn's log
 */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setInterval } from 'node:timers';
import { Redis } from 'ioredis';

const folder = dirname(process.env.CONFIG_PATH ?? '.');
const [shiftFile, stopFile] = [join(folder, 'clock-shift'), join(folder, 'stop-before-log')];
const LOOK_EVERY_MS = 50;

let shiftMs = 0;
const readShift = () => {
  shiftMs = existsSync(shiftFile) ? Number(readFileSync(shiftFile, 'utf8')) || 0 : 0;
};
readShift();
setInterval(readShift, LOOK_EVERY_MS).unref();

const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + shiftMs);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + shiftMs;
  }
};

/**
 * The call that creates a log has the head of its turn, in JSON, as its second argument after three
 * keys, or after five if the turn may begin.
 */
const createsLogInConversation = ({ name, args }) => {
  const keys = Number(args[1]);
  const head = String(args[keys + 3]);
  return name === 'evalsha' && (keys === 3 || keys === 5) && head.startsWith('{') && head.includes('"conv_');
};

const { sendCommand } = Redis.prototype;
Redis.prototype.sendCommand = function (command, ...rest) {
  if (createsLogInConversation(command) && existsSync(stopFile)) {
    rmSync(stopFile);
    process.kill(process.pid, 'SIGSTOP');
  }
  return sendCommand.call(this, command, ...rest);
};
