/*
 * Runs one process at a time in a checkout. A process that starts while another one works waits,
 * and takes over the lock of one that was killed. Runs under Node 18 and newer, without packages.
 */

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 200;
/**
 * No work takes longer. A lock older than this is stale, even if its process id is in use again.
 */
const STALE_AFTER_MS = 20 * 60_000;
/** A lock is written in two steps, creation and number. */
const UNSIGNED_AFTER_MS = 5_000;

/**
 * Runs `work` while holding the file `lock`. Calls `onWait` once, with the id of the process that
 * holds the lock.
 */
export async function alone(lock, work, onWait = () => undefined) {
  mkdirSync(dirname(lock), { recursive: true });
  for (let reported = false; !taken(lock);) {
    const holder = holderOf(lock);
    if (holder.stale) remove(lock, holder.text);
    else {
      if (!reported) onWait(Number(holder.text));
      reported = true;
      await sleep(LOOK_EVERY_MS);
    }
  }
  const release = () => rmSync(lock, { force: true });
  process.on('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

function taken(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function holderOf(lock) {
  try {
    const text = readFileSync(lock, 'utf8');
    const ageMs = Date.now() - statSync(lock).mtimeMs;
    const gone = text === '' ? ageMs > UNSIGNED_AFTER_MS : !isAlive(Number(text));
    return { text, stale: gone || ageMs > STALE_AFTER_MS };
  } catch {
    // Its holder has just released it.
    return { text: '', stale: false };
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Removes the stale lock that was read. Another process may replace that lock between the read and
 * the removal, and would lose its own; so the removed file is compared, and put back if it is not
 * the stale one.
 */
function remove(lock, text) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    if (readFileSync(aside, 'utf8') !== text) linkSync(aside, lock);
  } catch {
    // Another process has removed it, or has taken it again.
  }
  rmSync(aside, { force: true });
}
