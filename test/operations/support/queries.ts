/*
 * The PromQL queries of documents and rules, and their parts that must give data also while nothing
 * is wrong.
 */

import { readFileSync } from 'node:fs';

/** Fenced blocks in PromQL, and text in backquotes that names a metric of the deployment. */
export function queriesIn(page: string): [string, string][] {
  const text = readFileSync(page, 'utf8');
  const blocks = [...text.matchAll(/^```promql\n([^]*?)^```/gm)].map(([, block = '']) => block.trim());
  const inline = text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/`([^`\n]*support_bot_[^`\n]*)`/g);
  return [...blocks, ...[...inline].map(([, code = '']) => code)].map((expr) => [page, expr]);
}

/**
 * The sides of a rule's comparisons, which must give data also while nothing is wrong; an absence
 * is none.
 */
export function operands(expr: string): string[] {
  return (
    expr
      // A filter inside of an aggregation.
      .replaceAll(/ (?:==|>) 0\)/g, ')')
      .replaceAll(/ offset \w+/g, '')
      .split(/ (?:and|or|>=|<=|==|>|<) /)
      .map((part) => part.replace(/^\((.*)\)$/, '$1').replace(/^[\d.]+ \* /, ''))
      .filter((part) => !/^[\d.]+$|^absent\(|kube_horizontalpodautoscaler/.test(part))
  );
}
