/*
 * Chooses the version of a prompt for a turn if the configuration gives weights to several. The
 * choice is sticky: the same key always gets the same version, on every replica and after a
 * restart, as long as the weights stay.
 */

import { createHash } from 'node:crypto';

/** Weights by version. Their sum is not zero. */
export type VersionWeights = Readonly<Record<string, number>>;

/**
 * Chooses a version.
 * @param key whose choice is sticky, for example a conversation's id
 * @param prompt separates the choices for different prompts
 */
export function chooseVersion(weights: VersionWeights, prompt: string, key: string): string {
  const entries = Object.entries(weights);
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
  let left = shareOf(`${prompt}\n${key}`) * total;
  for (const [version, weight] of entries) {
    if (left < weight) return version;
    left -= weight;
  }
  // Floating-point sums may leave a rest after the last version. That rest belongs to it.
  return entries.findLast(([, weight]) => weight > 0)?.[0] ?? '';
}

/** Returns a number from 0 to below 1 that depends on `text` alone. */
function shareOf(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6) / 2 ** 48;
}
