/*
 * Durations and sizes: parses what operators write (`250ms`, `30s`, `1MiB`) to milliseconds and
 * bytes, and formats them.
 */

const MS_PER_UNIT = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES_PER_UNIT = { B: 1, KiB: 1_024, MiB: 1_048_576, KB: 1_000, MB: 1_000_000 } as const;

type DurationUnit = keyof typeof MS_PER_UNIT;
type SizeUnit = keyof typeof BYTES_PER_UNIT;

/**
 * Parses `250ms`, `30s`, `1.5m`, `24h`, `2d`, or a bare number of milliseconds.
 * @returns milliseconds, or undefined if the text is no duration
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (!match) return undefined;
  // The alternation in the pattern admits exactly these names.
  return Math.round(Number(match[1]) * MS_PER_UNIT[(match[2] ?? 'ms') as DurationUnit]);
}

/** Formats milliseconds in the shortest exact form: 90000 is `90s`, 60000 is `1m`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0ms';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms % MS_PER_UNIT[unit] === 0) return `${ms / MS_PER_UNIT[unit]}${unit}`;
  }
  return `${ms}ms`;
}

/**
 * Parses `1MiB`, `64KiB`, `1000KB`, or a bare number of bytes.
 * @returns bytes, or undefined if the text is no size
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|KB|MB)?$/.exec(text.trim());
  if (!match) return undefined;
  // The alternation in the pattern admits exactly these names.
  return Math.round(Number(match[1]) * BYTES_PER_UNIT[(match[2] ?? 'B') as SizeUnit]);
}

export function formatSize(bytes: number): string {
  for (const unit of ['MiB', 'KiB'] as const) {
    if (bytes !== 0 && bytes % BYTES_PER_UNIT[unit] === 0) return `${bytes / BYTES_PER_UNIT[unit]}${unit}`;
  }
  return `${bytes}B`;
}
