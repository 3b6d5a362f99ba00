/*
 * The Lua scripts, read from lua/, with their constants and shared functions written before them,
 * so that calls need not send these.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { longestTtl, type Retention } from '../retention.js';
import { type LogTimes } from '../event-log.js';

export type ScriptName =
  | 'adopt'
  | 'announce'
  | 'append'
  | 'cancel'
  | 'claim-join'
  | 'claim-leave'
  | 'claim-look'
  | 'conversation-append'
  | 'conversation-create'
  | 'conversation-drop-item'
  | 'conversation-enter'
  | 'conversation-exit'
  | 'conversation-find'
  | 'conversation-first'
  | 'conversation-items'
  | 'conversation-read'
  | 'conversation-title'
  | 'conversation-update'
  | 'create'
  | 'data-key'
  | 'data-key-erase'
  | 'data-key-replace'
  | 'data-key-shorten'
  | 'delete'
  | 'heartbeat'
  | 'listed'
  | 'once-confirm'
  | 'once-release'
  | 'owner-index'
  | 'pack'
  | 'read'
  | 'read-ended'
  | 'release'
  | 'renew'
  | 'take';

/** Functions in lua/shared/, by the scripts that use them. */
const SHARED: Partial<Record<ScriptName, readonly ('announce' | 'append' | 'commit' | 'join')[]>> = {
  announce: ['announce'],
  append: ['append'],
  'claim-join': ['join'],
  'conversation-append': ['commit'],
  'conversation-enter': ['join'],
  'conversation-exit': ['append', 'commit'],
  create: ['announce'],
};

export interface Script {
  readonly text: string;
  readonly sha: string;
}

export interface ScriptConstants extends Retention {
  readonly times: LogTimes;
  /** Whether messages are published in the slot of their channel (Cluster). */
  readonly sharded: boolean;
}

/**
 * Most bytes of events in one message. A message about more is empty, and the followers read the
 * log.
 */
const MESSAGE_BYTES_MAX = 64 * 1024;
/**
 * How long a token bucket lists the calls that changed it, in milliseconds: longer than
 * RedisCommands sends a command again.
 */
const REPEAT_MS = 10_000;
/**
 * How long a data key outlives what it encrypts, in milliseconds: longer than a use goes unchecked.
 */
export const KEY_SLACK_MS = 10 * 60_000;
/** How much longer an owner's index lives than the conversations in it, in milliseconds. */
export const INDEX_SLACK_MS = 60_000;
/** Most bytes of the list of calls that a token bucket holds: about 250 calls. */
const RECENT_BYTES_MAX = 4_096;

/**
 * Events of a block of a packed log. pack.lua and read.lua number the blocks by it. Never changes.
 */
export const BLOCK_EVENTS = 512;

/** Most announcements stored of one conversation. A gap misses fewer: turns run one at a time. */
const ANNOUNCED_MAX = 64;

export class Scripts {
  readonly #constants: string;
  readonly #scripts = new Map<ScriptName, Script>();

  constructor({ times, sharded, ...retention }: ScriptConstants) {
    const constants = {
      LEASE_MS: times.leaseMs,
      // An append renews the lease only after this much of it has passed, which saves four commands
      // on most appends.
      RENEW_AFTER_MS: Math.floor(times.leaseMs / 16),
      RUNNING_MS: times.runningMs,
      ENDED_MS: times.endedMs,
      ENDED_UNSTORED_MS: times.endedUnstoredMs,
      INDEX_SLACK_MS,
      ANNOUNCED_MAX,
      TTL_MS: retention.ttlMs,
      LONGEST_TTL_MS: longestTtl(retention),
      STORED_KEY_MS: Math.max(longestTtl(retention), times.runningMs + times.endedMs) + KEY_SLACK_MS,
      MESSAGE_BYTES_MAX,
      BLOCK_EVENTS,
      REPEAT_MS,
      RECENT_BYTES_MAX,
      PUBLISH: sharded ? 'SPUBLISH' : 'PUBLISH',
    };
    this.#constants = Object.entries(constants)
      .map(([name, value]) => `local ${name} = ${JSON.stringify(value)}\n`)
      .join('')
      .concat(ttlFunction(retention));
  }

  get(name: ScriptName): Script {
    const known = this.#scripts.get(name);
    if (known !== undefined) return known;
    const shared = (SHARED[name] ?? []).map((part) => lua(`shared/${part}`));
    const text = [this.#constants, ...shared, lua(name)].join('');
    const script = { text, sha: createHash('sha1').update(text).digest('hex') };
    this.#scripts.set(name, script);
    return script;
  }
}

function lua(name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
}

/**
 * Returns the function `ttl_of(head)`: the time to live of a conversation, by the class in its
 * head. Reads nothing if no class has a time of its own.
 */
function ttlFunction({ ttlOfClass = {} }: Retention): string {
  const entries = Object.entries(ttlOfClass).map(([name, ms]) => `[${luaText(name)}] = ${ms}`);
  if (entries.length === 0) return 'local function ttl_of() return TTL_MS end\n';
  return `local TTLS = { ${entries.join(', ')} }
local function ttl_of(head) return TTLS[redis.call('HGET', head, 'class') or ''] or TTL_MS end\n`;
}

/** Returns a text as Lua writes it, each byte by its number. */
function luaText(text: string): string {
  return `"${[...Buffer.from(text)].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`;
}
