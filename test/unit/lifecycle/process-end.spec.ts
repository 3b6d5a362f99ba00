import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { type DrainOutcome } from '../../../src/lifecycle/drain.js';
import { ProcessEnd } from '../../../src/lifecycle/process-end.js';
import { type After } from '../../../src/lifecycle/with-deadline.js';

function rig(options: { outcome?: DrainOutcome; closeFails?: boolean } = {}) {
  const exits: number[] = [];
  const firstExit = Promise.withResolvers<number>();
  const proc = Object.assign(new EventEmitter(), {
    exit: (code: number) => (exits.push(code), firstExit.resolve(code)),
  });
  const closing = Promise.withResolvers<void>();
  const closes: (string | undefined)[] = [];
  const app = { close: (signal?: string) => (closes.push(signal), closing.promise) };
  let hurried = 0;
  const drain = { run: () => Promise.resolve(options.outcome ?? 'finished'), hurry: () => void (hurried += 1) };
  const lines: string[] = [];
  const write = (_fields: object, message: string) => void lines.push(message);
  const bounds: { ms: number; end: () => void }[] = [];
  const after: After = (ms, signal) =>
    new Promise((resolve, reject) => {
      bounds.push({ ms, end: resolve });
      signal.addEventListener('abort', () => reject(new Error('called off')));
    });
  const times = { closeWithinMs: 40_000, hurryWithinMs: 3_000 };
  new ProcessEnd(app, drain, { info: write, warn: write, error: write }, times, proc, after).install();
  const signal = (name: string) => proc.emit(name, name);
  return { signal, closes, closing, exits, exit: firstExit.promise, lines, bounds, hurried: () => hurried };
}

describe('the end of the process', () => {
  it.each(['SIGTERM', 'SIGINT'])('closes the app on %s and exits 0 when every turn ended by itself', async (name) => {
    const { signal, closes, closing, exit, lines } = rig();
    signal(name);
    closing.resolve();
    expect(await exit).toBe(0);
    expect(closes).toEqual([name]);
    expect(lines).toEqual(['server exited']);
  });

  it('exits 1 when turns were aborted', async () => {
    const { signal, closing, exit } = rig({ outcome: 'cut short' });
    signal('SIGTERM');
    closing.resolve();
    expect(await exit).toBe(1);
  });

  it('exits 1 when closing fails', async () => {
    const { signal, closing, exit, lines } = rig();
    signal('SIGTERM');
    closing.reject(new Error('a hook failed'));
    expect(await exit).toBe(1);
    expect(lines).toEqual(['shutdown failed', 'server exited']);
  });

  it('exits 1 when closing hangs', async () => {
    const { signal, exit, bounds, lines } = rig();
    signal('SIGTERM');
    expect(bounds.map((bound) => bound.ms)).toEqual([40_000]);
    bounds[0]?.end();
    expect(await exit).toBe(1);
    expect(lines).toEqual(['shutdown timed out', 'server exited']);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('hurries on a second signal, and exits with its code: %s, %d', async (name, code) => {
    const { signal, closing, exit, exits, hurried, lines } = rig();
    signal('SIGTERM');
    signal(name);
    expect(hurried()).toBe(1);
    closing.resolve();
    expect(await exit).toBe(code);
    await new Promise(setImmediate);
    expect(exits).toEqual([code]);
    expect(lines).toEqual(['second signal received, ending at once', 'server exited']);
  });

  it('bounds a hurried end', async () => {
    const { signal, exit, bounds } = rig();
    signal('SIGTERM');
    signal('SIGTERM');
    bounds.find((bound) => bound.ms === 3_000)?.end();
    expect(await exit).toBe(143);
  });

  it('exits at once on a third signal', async () => {
    const { signal, exit } = rig();
    signal('SIGTERM');
    signal('SIGTERM');
    signal('SIGINT');
    expect(await exit).toBe(130);
  });
});
