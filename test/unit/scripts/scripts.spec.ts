import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
// @ts-expect-error plain JavaScript that runs before anything is installed has no types
import { alone } from '../../../scripts/lib/alone.mjs';
// @ts-expect-error as above
import { installIsCurrent, sourcesDigest } from '../../../scripts/lib/prepare.mjs';
// @ts-expect-error as above
import { run } from '../../../scripts/lib/run.mjs';
// @ts-expect-error as above
import { lastLine, Progress, sum } from '../../../scripts/lib/tally.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sluice-scripts-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(path: string, content: unknown): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), typeof content === 'string' ? content : JSON.stringify(content));
}

describe('the check of the install', () => {
  const wanted = {
    '': { name: 'sluice' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/for-another-platform': { version: '1.0.0', integrity: 'sha512-p', optional: true },
  };
  const a = wanted['node_modules/a'];

  it.each([
    ['everything there, another platform left out', { 'node_modules/a': a }, true],
    ['a package missing', {}, false],
    ['another version', { 'node_modules/a': { ...a, version: '1.0.1' } }, false],
    ['the same version with other bytes', { 'node_modules/a': { ...a, integrity: 'sha512-b' } }, false],
    ['nothing installed', undefined, false],
  ])('decides whether the install is complete: %s', (_what, present, current) => {
    write('package-lock.json', { packages: wanted });
    if (present !== undefined) write('node_modules/.package-lock.json', { packages: present });
    expect(installIsCurrent(root)).toBe(current);
  });
});

describe('the digest of the sources', () => {
  it('changes with a change, an addition and a removal, and with nothing else', () => {
    const digest = () => sourcesDigest(root, ['src', 'tsconfig.json', 'absent.json']);
    write('src/a/b.ts', 'one');
    write('tsconfig.json', '{}');
    write('README.md', 'x');
    const first = digest();
    write('README.md', 'y');
    expect(digest()).toBe(first);
    write('src/a/b.ts', 'two');
    const second = digest();
    expect(second).not.toBe(first);
    write('src/c.ts', '');
    expect(digest()).not.toBe(second);
    rmSync(join(root, 'src/c.ts'));
    expect(digest()).toBe(second);
  });
});

/** False for a process that is gone, or dead and not yet reaped. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('preparing a checkout', () => {
  /** Three processes that want exclusive access to one file. */
  const program = (lock: string, log: string) => `
    import { appendFileSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    import { alone } from '${resolve('scripts/lib/alone.mjs')}';
    await alone('${lock}', async () => {
      appendFileSync('${log}', 'begin ');
      await setTimeout(150);
      appendFileSync('${log}', 'end ');
    });`;
  const start = (lock: string, log: string): Promise<{ code: number; output: string }> =>
    // The script's own words; only what is compared here.
    run(process.execPath, ['--input-type=module', '-e', program(lock, log)]) as Promise<{
      code: number;
      output: string;
    }>;

  it.each([
    ['no process ran before', () => undefined],
    [
      'the last process was killed',
      (lock: string) => {
        const { pid } = spawnSync(process.execPath, ['-e', '']);
        write('.cache/preparing', String(pid));
        return lock;
      },
    ],
  ])('runs by one process at a time: %s', async (_what, before) => {
    const [lock, log] = [join(root, '.cache/preparing'), join(root, 'log')];
    before(lock);
    const ends = await Promise.all([start(lock, log), start(lock, log), start(lock, log)]);
    expect(ends.map(({ code, output }) => ({ code, output }))).toEqual(Array(3).fill({ code: 0, output: '' }));
    expect(readFileSync(log, 'utf8')).toBe('begin end begin end begin end ');
    expect(existsSync(lock)).toBe(false);
  });

  it('reports the process that it waits for, and continues when that process is killed', async () => {
    const [lock, log] = [join(root, '.cache/preparing'), join(root, 'log')];
    const held = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `import { alone } from '${resolve('scripts/lib/alone.mjs')}'; await alone('${lock}', () => { console.log('held'); return new Promise(() => setInterval(() => {}, 1_000)); });`,
    ]);
    await once(held.stdout, 'data');
    const blockers: number[] = [];
    const waiting = alone(
      lock,
      () => writeFileSync(log, 'done'),
      (pid: number) => {
        blockers.push(pid);
        held.kill('SIGKILL');
      },
    );
    await waiting;
    expect(blockers).toEqual([held.pid]);
    expect(readFileSync(log, 'utf8')).toBe('done');
  });
});

describe('running a program', () => {
  it('returns code and output', async () => {
    const ended = await run(process.execPath, ['-e', 'console.log("out"); console.error("err"); process.exit(3)']);
    expect(ended).toMatchObject({ code: 3, timedOut: false });
    expect(ended.output).toContain('out');
    expect(ended.output).toContain('err');
  });

  it('ends a program that takes too long, with its children', async () => {
    const script = `const { spawn } = require('node:child_process');
      const inner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      console.log('inner ' + inner.pid);
      setInterval(() => {}, 1000);`;
    const ended = await run(process.execPath, ['-e', script], { limitMs: 1_000 });
    expect(ended.timedOut).toBe(true);
    const inner = Number(/inner (\d+)/.exec(ended.output)?.[1]);
    expect(inner).toBeGreaterThan(0);
    // A killed process remains visible until its parent has reaped it.
    while (isRunning(inner)) await new Promise(setImmediate);
  });

  it('ends a program without progress, and not one that takes long with progress', async () => {
    const talks = `let left = 8; setInterval(() => (left-- > 0 ? console.log(left) : process.exit(0)), 500);`;
    const sends = `process.on('message', () => {}); ${talks.replace('console.log', 'process.send')}`;
    // Each takes longer than it may be silent.
    const stallMs = 3_000;
    const [talking, sending, silent] = await Promise.all([
      run(process.execPath, ['-e', talks], { stallMs }),
      run(process.execPath, ['-e', sends], { stallMs, onMessage: () => undefined }),
      // Its output is no progress where messages are expected.
      run(process.execPath, ['-e', 'setInterval(() => console.log("."), 100)'], {
        stallMs,
        onMessage: () => undefined,
      }),
    ]);
    expect(talking).toMatchObject({ code: 0, timedOut: false });
    expect(sending).toMatchObject({ code: 0, timedOut: false });
    expect(silent).toMatchObject({ timedOut: true });
  });

  it('gives a silent program more time while it is awaited', async () => {
    let asked = 0;
    const { code, timedOut } = await run(process.execPath, ['-e', 'setInterval(() => {}, 100)'], {
      stallMs: 50,
      isAwaited: () => ++asked < 3,
    });
    expect({ asked, timedOut, code: code !== 0 }).toEqual({ asked: 3, timedOut: true, code: true });
  });

  it('reports that there is no such program', async () => {
    expect(await run('no-such-program-here', [])).toMatchObject({ code: 127 });
  });
});

describe('the count', () => {
  const file = (more: object) => ({
    type: 'ended',
    passed: 5,
    failed: [],
    skipped: [],
    broken: false,
    ms: 10,
    ...more,
  });
  const progressOf = (...messages: object[]): Progress => {
    const progress = new Progress();
    for (const message of messages) progress.take(message);
    return progress;
  };

  it('counts the tests of each suite by the folder of their files', () => {
    const progress = progressOf(
      file({ file: 'test/unit/a.spec.ts' }),
      file({ file: 'test/unit/b.spec.ts', passed: 1, failed: ['adds up'] }),
      file({ file: 'test/system/unit/c.spec.ts', passed: 7 }),
    );
    expect(progress.tally('unit', { strict: false })).toEqual({
      passed: 6,
      failed: 1,
      failures: ['test/unit/b.spec.ts: adds up'],
      notes: [],
      ms: 20,
    });
    expect(progress.tally('system', { strict: false })).toMatchObject({ passed: 7, failed: 0 });
    expect(progress.tally('chaos', { strict: true })).toMatchObject({ passed: 0, failed: 0 });
  });

  it('counts a file that does not load as a failure', () => {
    const progress = progressOf(file({ file: 'test/unit/a.spec.ts', passed: 0, broken: true }));
    expect(progress.tally('unit', { strict: false })).toMatchObject({
      passed: 0,
      failed: 1,
      notes: ['did not load: test/unit/a.spec.ts'],
    });
  });

  it('counts a file that started and did not end as a failure, and names it', () => {
    const progress = progressOf(
      { type: 'started', file: 'test/unit/a.spec.ts' },
      { type: 'started', file: 'test/unit/b.spec.ts' },
      file({ file: 'test/unit/a.spec.ts' }),
    );
    expect(progress.tally('unit', { strict: false })).toMatchObject({
      passed: 5,
      failed: 1,
      notes: ['did not end: test/unit/b.spec.ts'],
    });
  });

  it('counts a skipped test as a failure in CI, and names it anywhere', () => {
    const progress = progressOf(file({ file: 'test/unit/a.spec.ts', skipped: ['a skipped one'] }));
    expect(progress.tally('unit', { strict: true })).toMatchObject({
      failed: 1,
      notes: [expect.stringContaining('a skipped one')],
    });
    expect(progress.tally('unit', { strict: false }).failed).toBe(0);
  });

  it('summarizes in one line', () => {
    expect(
      lastLine(
        sum([
          { passed: 2, failed: 0 },
          { passed: 3, failed: 1 },
        ]),
      ),
    ).toBe('5 passed, 1 failed');
  });

  it('sends the count from the reporter while jest runs: a test that passes, fails, is skipped, and a file that does not load', async () => {
    const imports = "import { it } from '@jest/globals';";
    write(
      'test/unit/mixed.spec.js',
      `it('passes', () => {}); it('fails', () => { throw 1; }); it.skip('waits', () => {});`,
    );
    write('test/system/broken.spec.js', `${imports} import './absent.js';`);
    const project = (name: string) => ({ displayName: name, testMatch: [`<rootDir>/test/${name}/**`], transform: {} });
    write('jest.config.json', { projects: [project('unit'), project('system')] });
    const reporters = ['--reporters', resolve('scripts/lib/progress-reporter.mjs')];
    const progress = new Progress();
    const args = [resolve('node_modules/jest/bin/jest.js'), '--config', 'jest.config.json', ...reporters, '-w', '1'];
    const onMessage = (message: object) => progress.take(message);
    expect(await run(process.execPath, args, { cwd: root, onMessage })).toMatchObject({ code: 1, timedOut: false });
    expect(progress.tally('unit', { strict: true })).toMatchObject({
      passed: 1,
      failed: 2,
      failures: ['test/unit/mixed.spec.js: fails'],
      notes: ['1 skipped: waits'],
    });
    expect(progress.tally('system', { strict: true })).toMatchObject({ passed: 0, failed: 1 });
  });
});
