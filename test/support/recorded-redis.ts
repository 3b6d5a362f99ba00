/*
 * What an earlier version wrote to Redis, word for word (scripts/release/record-redis.mjs), played
 * to a real Redis again: in the place of a replica of that version, of which a fresh clone has no
 * build. Knows nothing of the sources that run today.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Redis } from 'ioredis';

export interface RecordedCommand {
  /** The step of the recorded run that it belongs to. */
  readonly at: string;
  /** One of the version's own scripts, by name; then `args` begin with the number of keys. */
  readonly script?: string;
  readonly command?: string;
  readonly args: readonly string[];
}

interface RecordedEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly response?: Readonly<Record<string, unknown>>;
}

export interface RecordedTurn {
  readonly id: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly events: readonly RecordedEvent[];
  /** As it was retrieved after its end; absent: it had none. */
  readonly response?: Readonly<Record<string, unknown>>;
}

/** What clients of that version received. */
interface Received {
  readonly version: string;
  readonly turns: Readonly<Record<string, RecordedTurn>>;
  readonly conversation: {
    readonly id: string;
    readonly head: Readonly<Record<string, unknown>>;
    readonly items: readonly Readonly<Record<string, unknown>>[];
  };
  /** A conversation with one turn that runs and one that waits. */
  readonly other: string;
}

export class RecordedRedis {
  readonly received: Received;
  readonly commands: readonly RecordedCommand[];
  readonly #scripts: ReadonlyMap<string, string>;

  /** @param folder where scripts/release/record-redis.mjs has written */
  constructor(folder: string) {
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
    const lines = (name: string): unknown[] =>
      read(name)
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
    // scripts/release/record-redis.mjs writes these files.
    this.received = JSON.parse(read('received.json')) as Received;
    this.commands = lines('commands.ndjson') as RecordedCommand[];
    this.#scripts = new Map(lines('scripts.ndjson') as [string, string][]);
  }

  turn(name: string): RecordedTurn {
    const turn = this.received.turns[name];
    if (turn === undefined) throw new Error(`no turn ${name} was recorded`);
    return turn;
  }

  of(...steps: string[]): RecordedCommand[] {
    return this.commands.filter(({ at }) => steps.includes(at));
  }

  /** Plays them, one after the other; resolves to what Redis said to each. */
  async play(redis: Redis, commands: readonly RecordedCommand[]): Promise<unknown[]> {
    const replies: unknown[] = [];
    for (const { script, command, args } of commands) {
      replies.push(
        script === undefined
          ? await redis.call(command ?? '', ...args)
          : await redis.call('EVAL', this.#text(script), ...args),
      );
    }
    return replies;
  }

  /** One of that version's scripts, on any keys. */
  run(
    redis: Redis,
    script: string,
    keys: readonly string[],
    args: readonly (string | number)[] = [],
  ): Promise<unknown> {
    return redis.call('EVAL', this.#text(script), keys.length, ...keys, ...args);
  }

  /** Names of a response's keys as that version makes them, its bucket given. */
  keysIn(bucket: number, responseId: string): { meta: string; log: string; leases: string; live: string } {
    const args = this.commands.find(({ script }) => script === 'create')?.args ?? [];
    const [count, meta = '', log = '', leases = ''] = args;
    const id = args[1 + Number(count)] ?? '';
    const named = (name: string): string => name.replace(/\{b\d+\}/, `{b${bucket}}`).replace(id, responseId);
    return { meta: named(meta), log: named(log), leases: named(leases), live: named(log).replace(':log:', ':live:') };
  }

  #text(script: string): string {
    const text = this.#scripts.get(script);
    if (text === undefined) throw new Error(`no script ${script} was recorded`);
    return text;
  }
}

/** Before and after the nth command of a script. */
export function splitAfter(
  commands: readonly RecordedCommand[],
  script: string,
  nth: number,
): [RecordedCommand[], RecordedCommand[]] {
  let seen = 0;
  const at = commands.findIndex((command) => command.script === script && ++seen === nth);
  if (at < 0) throw new Error(`there is no ${script} number ${nth}`);
  return [commands.slice(0, at + 1), commands.slice(at + 1)];
}
