/*
 * Loaded into every measured process before its own code (`--import`), alike for all: answers how
 * much CPU it has used, how often it has waited and how much memory it holds, and records a CPU
 * profile when asked. Costs nothing while no request arrives.
 */

import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerQuestions } from './lib/ipc.js';

let session: Session | undefined;

answerQuestions({
  cpu: () => {
    const { userCPUTime, systemCPUTime, voluntaryContextSwitches } = process.resourceUsage();
    return { micros: userCPUTime + systemCPUTime, waits: voluntaryContextSwitches };
  },
  memory: async () => {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await sleep(100);
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, heap: heapUsed + external };
  },
  held: () => {
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, heap: heapUsed + external };
  },
  profile: async ({ file }) => {
    if (file === null) {
      session = new Session();
      session.connect();
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: 200 });
      await session.post('Profiler.start');
    } else if (session !== undefined) {
      const { profile } = await session.post('Profiler.stop');
      writeFileSync(file, JSON.stringify(profile));
      session.disconnect();
      session = undefined;
    }
    return null;
  },
});
// The channel must not keep a process alive that has ended its work.
process.channel?.unref();
// The parent is gone, so this process ends.
process.on('disconnect', () => process.exit(0));
