import { describe, expect, it } from '@jest/globals';
import { Drain, type DrainOptions, longestDrainMs } from '../../../src/lifecycle/drain.js';
import { type After } from '../../../src/lifecycle/with-deadline.js';
import { DrainState } from '../../../src/turn/drain-state.js';

const OPTIONS: DrainOptions = {
  sharedState: false,
  graceMs: 30_000,
  abortWithinMs: 2_000,
  reconnectAfterMs: 1_000,
  closeSocketsOverMs: 500,
  readSharedMs: 5_000,
  readAtLeastMs: 1_000,
  lingerMs: 1_000,
  closeWithinMs: 1_000,
};

/**
 * A drain over fakes. `waits` holds every timeout it starts, so that a test can let them expire.
 */
function rig(
  options: {
    turns?: number;
    turnsHang?: boolean;
    readers?: number;
    failing?: string;
    hanging?: string;
    sharedState?: boolean;
  } = {},
) {
  const steps: string[] = [];
  const waits: { ms: number; over: boolean; end: () => void }[] = [];
  const after: After = (ms, signal) =>
    new Promise((resolve, reject) => {
      const wait = { ms, over: false, end: () => ((wait.over = true), resolve()) };
      waits.push(wait);
      signal.addEventListener('abort', () => ((wait.over = true), reject(new Error('called off'))));
    });
  const idle = Promise.withResolvers<void>();
  const delivered = Promise.withResolvers<void>();
  const read = Promise.withResolvers<void>();
  const clock = { ms: 0 };
  const state = new DrainState();
  state.onDraining(() => steps.push('refuse turns'));
  const step = (name: string) => {
    steps.push(name);
    if (options.hanging === name) return new Promise<void>(() => undefined);
    return options.failing === name ? Promise.reject(new Error('failed')) : Promise.resolve();
  };
  const turns = {
    count: options.turns ?? 0,
    whenIdle: () => (steps.push('wait for turns'), options.turns ? idle.promise : Promise.resolve()),
    abortAll: (reason: Error & { code: string }) =>
      options.turnsHang ? (steps.push('abort'), new Promise<void>(() => undefined)) : step(`abort ${reason.code}`),
  };
  const sockets = {
    size: 1_000,
    announceDraining: (ms: number) => void steps.push(`announce ${ms}`),
    whenDelivered: () => (steps.push('deliver'), options.readers ? delivered.promise : Promise.resolve()),
    closeAll: (code: number, _reason: string, overMs: number) => step(`close ${code} over ${overMs}`),
  };
  const answers = {
    size: options.readers ?? 0,
    whenClosed: () => (answers.size > 0 ? read.promise : Promise.resolve()),
    interrupt: ({ code }: Error & { code: string }) => void steps.push(`interrupt ${code}`),
  };
  const lines: string[] = [];
  const write = (_fields: object, message: string) => void lines.push(message);
  const log = { info: write, warn: write, error: write };
  const drain = new Drain(
    state,
    turns,
    sockets,
    answers,
    { close: () => step('close connections') },
    log,
    { ...OPTIONS, sharedState: options.sharedState ?? false },
    after,
    { now: () => clock.ms },
  );
  const finishReading = (): void => {
    answers.size = 0;
    read.resolve();
  };
  return { drain, state, steps, lines, waits, clock, delivered, finishReading, finishTurns: () => idle.resolve() };
}

const nextWait = async (waits: { ms: number; over: boolean; end: () => void }[]) => {
  for (;;) {
    const wait = waits.find((candidate) => !candidate.over);
    if (wait) return wait;
    await new Promise(setImmediate);
  }
};

describe('a drain', () => {
  it('refuses, notifies, closes and finishes without running turns', async () => {
    const { drain, state, steps, lines } = rig();
    expect(await drain.run()).toBe('finished');
    expect(state.draining).toBe(true);
    expect(steps).toEqual([
      'refuse turns',
      'wait for turns',
      'deliver',
      'interrupt draining',
      'announce 1000',
      'close 1012 over 500',
      'close connections',
    ]);
    expect(lines).toEqual(['shutting down server...']);
  });

  it('keeps the sockets until the running turns have ended', async () => {
    const { drain, steps, waits, finishTurns } = rig({ turns: 2 });
    const running = drain.run();
    expect((await nextWait(waits)).ms).toBe(30_000);
    expect(steps).toEqual(['refuse turns', 'wait for turns']);
    finishTurns();
    expect(await running).toBe('finished');
    expect(steps.at(-2)).toBe('close 1012 over 500');
  });

  it('closes the sockets first where other replicas can serve them, and lets the turns continue', async () => {
    const { drain, steps, finishTurns } = rig({ turns: 2, sharedState: true });
    const running = drain.run();
    while (!steps.includes('close 1012 over 500')) await new Promise(setImmediate);
    expect(steps).toEqual(['refuse turns', 'wait for turns', 'announce 1000', 'close 1012 over 500']);
    finishTurns();
    expect(await running).toBe('finished');
    expect(steps.at(-1)).toBe('close connections');
  });

  it('ends the remaining turns with a terminal after the grace period, then closes', async () => {
    const { drain, steps, waits, clock } = rig({ turns: 2 });
    const running = drain.run();
    const grace = await nextWait(waits);
    clock.ms = 30_000;
    grace.end();
    expect(await running).toBe('cut short');
    expect(steps.slice(2)).toEqual([
      'abort replica_lost',
      'interrupt draining',
      'announce 1000',
      'close 1012 over 500',
      'close connections',
    ]);
  });

  it('closes although terminals cannot be written', async () => {
    const { drain, steps, waits } = rig({ turns: 2, turnsHang: true });
    const running = drain.run();
    (await nextWait(waits)).end();
    const abortBound = await nextWait(waits);
    expect(abortBound.ms).toBe(2_000);
    abortBound.end();
    expect(await running).toBe('cut short');
    expect(steps.at(-1)).toBe('close connections');
  });

  it('skips all waits and spreads nothing when hurried', async () => {
    const { drain, steps, waits } = rig({ turns: 2 });
    const running = drain.run();
    await nextWait(waits);
    drain.hurry();
    expect(await running).toBe('cut short');
    expect(steps.slice(2)).toEqual([
      'abort replica_lost',
      'interrupt draining',
      'announce 1000',
      'close 1012 over 0',
      'close connections',
    ]);
  });

  it('waits for slow readers for the rest of the grace period when the state is in memory [DRAIN-6]', async () => {
    const { drain, steps, waits, clock, delivered, finishReading } = rig({ turns: 0, readers: 1 });
    clock.ms = 10_000;
    const running = drain.run();
    while (!steps.includes('deliver')) await new Promise(setImmediate);
    expect((await nextWait(waits)).ms).toBe(30_000);
    delivered.resolve();
    finishReading();
    expect(await running).toBe('finished');
    expect(steps.slice(3)).toEqual(['interrupt draining', 'announce 1000', 'close 1012 over 500', 'close connections']);
  });

  it('interrupts unfinished readers at the end of the grace period, with state in memory [DRAIN-6]', async () => {
    const { drain, steps, waits, clock, lines } = rig({ readers: 1 });
    const running = drain.run();
    const deliver = await nextWait(waits);
    clock.ms = 30_000;
    deliver.end();
    for (const ms of [1_000, 1_000]) {
      while (!waits.some((wait) => !wait.over && wait.ms === ms)) await new Promise(setImmediate);
      const wait = await nextWait(waits);
      expect(wait.ms).toBe(ms);
      wait.end();
    }
    expect(await running).toBe('finished');
    expect(steps).toContain('interrupt draining');
    expect(lines).toContain('interrupted open answers');
  });

  it('interrupts readers 5 s after the last turn when other replicas can serve them [DRAIN-6]', async () => {
    const { drain, steps, waits, lines } = rig({ readers: 1, sharedState: true });
    const running = drain.run();
    while (!waits.some((wait) => !wait.over && wait.ms === 5_000)) await new Promise(setImmediate);
    expect(steps).not.toContain('interrupt draining');
    waits.find((wait) => wait.ms === 5_000)?.end();
    while (!waits.some((wait) => !wait.over && wait.ms === 1_000)) await new Promise(setImmediate);
    expect(steps).toContain('interrupt draining');
    waits.find((wait) => !wait.over && wait.ms === 1_000)?.end();
    expect(await running).toBe('finished');
    expect(lines).toContain('interrupted open answers');
  });

  it('continues after a step that fails, and logs the failure', async () => {
    const { drain, steps, lines } = rig({ failing: 'close 1012 over 500' });
    expect(await drain.run()).toBe('cut short');
    expect(steps.at(-1)).toBe('close connections');
    expect(lines).toContain('shutdown step failed');
  });

  it.each(['close 1012 over 500', 'close connections'])(
    'drains without a worse outcome if a close is not answered, and logs the late step: %s',
    async (hanging) => {
      const { drain, steps, lines, waits } = rig({ hanging });
      const running = drain.run();
      while (!steps.includes(hanging)) await new Promise(setImmediate);
      const bound = await nextWait(waits);
      expect(bound.ms).toBe(hanging === 'close connections' ? 1_000 : 1_500);
      bound.end();
      expect(await running).toBe('finished');
      expect(steps.at(-1)).toBe('close connections');
      expect(lines).toContain('shutdown step timed out');
    },
  );

  it('runs once, however often it is called', async () => {
    const { drain, steps } = rig();
    await Promise.all([drain.run(), drain.beforeApplicationShutdown()]);
    expect(steps.filter((step) => step === 'close connections')).toHaveLength(1);
  });

  it('returns the longest time that a drain can take', () => {
    expect(longestDrainMs(OPTIONS)).toBe(35_000);
  });
});

describe('the drain state', () => {
  it('notifies each listener once, also a late one, and none that was removed', () => {
    const state = new DrainState();
    const notified: string[] = [];
    state.onDraining(() => notified.push('early'));
    state.onDraining(() => notified.push('left'))();
    state.startDraining();
    state.startDraining();
    state.onDraining(() => notified.push('late'));
    expect(notified).toEqual(['early', 'late']);
  });
});
