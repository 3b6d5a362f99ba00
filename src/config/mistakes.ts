/*
 * Converts zod's issues to mistakes for operators: the value, what is allowed, and the likely
 * intended name.
 */

import { type z } from 'zod';
import { nearest } from '../domain/nearest.js';
import { type Mistake } from './config-error.js';
import { type KeyRow, namesUnder } from './key-table.js';
import { type Path, isTree, showPath } from './read-yaml.js';

const FOUND_MAX_CHARACTERS = 60;

export function toMistakes(issues: readonly z.core.$ZodIssue[], input: unknown, rows: readonly KeyRow[]): Mistake[] {
  const byPath = new Map<string, Mistake>();
  for (const issue of issues) {
    // zod's paths may hold symbols; a YAML file has none.
    const path = issue.path as Path;
    const found =
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((name) => unknownKey([...path, name], rows))
        : [wrongValue(path, input, rows)];
    for (const mistake of found) if (!byPath.has(mistake.path)) byPath.set(mistake.path, mistake);
  }
  return [...byPath.values()];
}

const shapeOf = (path: Path) => showPath(path).replaceAll(/\[\d+\]/g, '[]');

function unknownKey(path: Path, rows: readonly KeyRow[]): Mistake {
  const section = shapeOf(path.slice(0, -1));
  const names = namesUnder(rows, section);
  const name = String(path.at(-1));
  const meant = nearest(name, names);
  const elsewhere = rows.filter((row) => row.path.endsWith(`.${name}`)).map((row) => row.path);
  const hint = meant
    ? `did you mean \`${meant}\`?`
    : elsewhere.length > 0
      ? `there is \`${elsewhere.slice(0, 3).join('`, `')}\`; known here: `
      : 'known here: ';
  return {
    path: showPath(path),
    problem: `unknown key; ${hint}${meant ? '' : names.map((known) => `\`${known}\``).join(', ')}`,
  };
}

function wrongValue(path: Path, input: unknown, rows: readonly KeyRow[]): Mistake {
  const shape = shapeOf(path);
  const row =
    rows.find((candidate) => candidate.path === shape) ?? rows.find((candidate) => `${candidate.path}[]` === shape);
  const value = path.reduce<unknown>(
    (inner, step) => (Array.isArray(inner) ? inner[Number(step)] : isTree(inner) ? inner[step] : undefined),
    input,
  );
  const allowed = row?.allowed ?? 'a section with keys';
  if (value === undefined) return { path: showPath(path), problem: `missing; needed: ${allowed}` };
  const meant = typeof value === 'string' && row?.names ? nearest(value, row.names) : undefined;
  const quote = row?.allowed === 'text' && typeof value !== 'object' ? '; put it in quotes' : '';
  return {
    path: showPath(path),
    problem: `found ${found(value, shape)}; allowed: ${allowed}${quote}${meant ? `; did you mean \`${meant}\`?` : ''}`,
  };
}

/**
 * Formats a value for printing. A value in the place of a secret's name is hidden, because it may
 * be the secret.
 */
function found(value: unknown, shape: string): string {
  if (/_(env|file|sha256)$/.test(shape)) return 'something else (not shown)';
  if (Array.isArray(value)) return 'a list';
  if (isTree(value)) return 'a section';
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return shown.length > FOUND_MAX_CHARACTERS ? `${shown.slice(0, FOUND_MAX_CHARACTERS)}...` : shown;
}
