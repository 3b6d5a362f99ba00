/*
 * One at a time in a checkout: whoever comes while another works waits, also where that one was killed and left its lock behind.
 * Understood by Node 18 and newer, without any package.
 */

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 200;
/** No work takes longer: a process that has the number of one that died must not be waited for. */
const STALE_AFTER_MS = 20 * 60_000;
/** A lock is written in two steps, creation and number. */
const UNSIGNED_AFTER_MS = 5_000;

/** Does `work` while it alone holds the file `lock`. `onWait` is told once, with the number of the process that is waited for. */
export async function alone(lock, work, onWait = () => undefined) {
  mkdirSync(dirname(lock), { recursive: true });
  for (let told = false; !taken(lock);) {
    const holder = holderOf(lock);
    if (holder.stale) remove(lock, holder.text);
    else {
      if (!told) onWait(Number(holder.text));
      told = true;
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
    // It was given back just now.
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

/** Removes the lock that was looked at. One that somebody else has taken meanwhile is put back. */
function remove(lock, text) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    if (readFileSync(aside, 'utf8') !== text) linkSync(aside, lock);
  } catch {
    // Another has removed it, or has taken it again.
  }
  rmSync(aside, { force: true });
}
