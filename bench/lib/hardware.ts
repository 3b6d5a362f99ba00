/* What a result was measured on. */

import { cpus, release, totalmem, type } from 'node:os';

export interface Hardware {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
}

export function hardware(): Hardware {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${type()} ${release().split('-')[0]}`,
    node: process.versions.node,
  };
}

export function describe({ cpu, cores, memoryGb, system, node }: Hardware): string {
  return `${cpu}, ${cores} cores, ${memoryGb} GB, ${system}, Node ${node}`;
}
