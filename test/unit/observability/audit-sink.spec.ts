/* Where audit lines go: files that are rotated, a disk that is full, pipes without a reader. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartMistake } from '../../../src/config/config-error.js';
import { AuditSink } from '../../../src/observability/audit-sink.js';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-sink-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function sinkTo(output: string) {
  const dropped: { lines: number; reason: string }[] = [];
  const sink = new AuditSink({ output, onDropped: (lines, reason) => dropped.push({ lines, reason }) });
  const lost = (): number => dropped.reduce((sum, { lines }) => sum + lines, 0);
  return { sink, dropped, lost };
}
const linesOf = (file: string): string[] => readFileSync(file, 'utf8').trimEnd().split('\n');

describe('a file', () => {
  it('writes every audit line to a file in order, readable for its group only', async () => {
    const file = join(directory, 'order.jsonl');
    const { sink, lost } = sinkTo(file);
    const lines = Array.from({ length: 1_000 }, (_, i) => `line ${i}`);
    for (const line of lines) sink.write(`${line}\n`);
    await sink.close();
    expect(linesOf(file)).toEqual(lines);
    expect(lost()).toBe(0);
    expect(statSync(file).mode & 0o007).toBe(0);
  });

  it('writes no audit line to a renamed file after it was opened again, and loses none', async () => {
    const file = join(directory, 'rotated.jsonl');
    const { sink, lost } = sinkTo(file);
    for (let i = 0; i < 500; i += 1) sink.write(`before ${i}\n`);
    renameSync(file, `${file}.1`);
    sink.reopen();
    for (let i = 0; i < 500; i += 1) sink.write(`after ${i}\n`);
    await sink.close();
    expect(lost()).toBe(0);
    expect([...linesOf(`${file}.1`), ...linesOf(file)]).toHaveLength(1_000);
    expect(linesOf(file).slice(-500)).toEqual(Array.from({ length: 500 }, (_, i) => `after ${i}`));
    expect(linesOf(`${file}.1`)[0]).toBe('before 0');
  });

  it('refuses an audit file that cannot be opened as a mistake of the configuration', () => {
    expect(() => sinkTo(join(directory, 'missing', 'audit.jsonl'))).toThrow(StartMistake);
  });

  it('keeps writing to the audit file if it cannot be opened again', async () => {
    const file = join(directory, 'gone', 'audit.jsonl');
    execFileSync('mkdir', ['-p', join(directory, 'gone')]);
    const { sink, dropped } = sinkTo(file);
    renameSync(join(directory, 'gone'), join(directory, 'moved'));
    sink.reopen();
    sink.write('still here\n');
    await sink.close();
    expect(dropped).toEqual([{ lines: 0, reason: 'ENOENT' }]);
    expect(linesOf(join(directory, 'moved', 'audit.jsonl'))).toEqual(['still here']);
  });
});

describe('a full disk', () => {
  it('drops and counts each audit line on a full disk, and delays nothing', async () => {
    const { sink, dropped, lost } = sinkTo('/dev/full');
    for (let i = 0; i < 100; i += 1) sink.write(`line ${i}\n`);
    await sink.close();
    expect(lost()).toBe(100);
    expect(new Set(dropped.map(({ reason }) => reason))).toEqual(new Set(['ENOSPC']));
  });
});

describe('a named pipe', () => {
  const pipe = (name: string): string => {
    const path = join(directory, name);
    execFileSync('mkfifo', [path]);
    return path;
  };

  it('refuses a pipe without a reader as a mistake of the configuration, without waiting for one', () => {
    expect(() => sinkTo(pipe('unread'))).toThrow('ENXIO');
  });

  it('keeps a bounded number of audit lines for a pipe that is not read, and counts the others', async () => {
    const path = pipe('slow');
    const reader = await open(path, 0o4000);
    const { sink, dropped } = sinkTo(path);
    const line = `${'x'.repeat(1_023)}\n`;
    for (let i = 0; i < 3_000; i += 1) sink.write(line);
    const full = dropped.length;
    expect(full).toBeGreaterThan(3_000 - 1_024 - 128);
    expect(new Set(dropped.map(({ reason }) => reason))).toEqual(new Set(['full']));
    await reader.close();
    await sink.close();
    // Its reader has left: the lines that waited are lost.
    expect(dropped.length).toBeGreaterThan(full);
    expect(dropped.at(-1)?.reason).toBe('EPIPE');
  });
});
