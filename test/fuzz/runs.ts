/*
 * How many cases are run, and from which seed. In CI few from one seed; `npm run soak -- fuzz` sets
 * a million and a new seed. A failure prints the seed, and FUZZ_SEED repeats it.
 */

import fc from 'fast-check';

/** The parts of a soak: which share of its cases each kind gets. */
const SHARES = { events: 0.35, bodies: 0.3, streams: 0.1, packs: 0.125, configuration: 0.125 } as const;
const CASES = process.env['FUZZ_CASES'];
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_129);

type FuzzKind = keyof typeof SHARES;

/** @param inCi cases without FUZZ_CASES */
export function casesOf(kind: FuzzKind, inCi: number): number {
  return CASES === undefined ? inCi : Math.ceil(Number(CASES) * SHARES[kind]);
}

/**
 * Time limit of a test that runs so many cases: none takes a hundredth of it on a quiet machine.
 */
export const withinMs = (cases: number): number => 300_000 + cases * 200;

/**
 * Runs `check` on batches of cases until `cases` have been run, and prints how many.
 * @throws the first failure, with its seed
 */
export async function fuzz<T>(
  kind: FuzzKind,
  cases: number,
  one: fc.Arbitrary<T>,
  check: (batch: readonly T[]) => Promise<void>,
  size = 20,
): Promise<void> {
  let ran = 0;
  const batches = fc.array(one, { minLength: size, maxLength: size });
  const property = fc.asyncProperty(batches, async (batch) => {
    await check(batch);
    ran += batch.length;
    if (CASES !== undefined && ran % 20_000 < batch.length) console.log(`fuzz: ${kind}: ${ran} cases`);
  });
  try {
    // A failure may be a gateway that has ended, so that a smaller batch would show nothing.
    await fc.assert(property, { seed: SEED, numRuns: Math.ceil(cases / size), endOnFailure: true });
  } finally {
    if (CASES !== undefined) console.log(`fuzz: ${kind}: ${ran} cases from seed ${SEED}`);
  }
}
