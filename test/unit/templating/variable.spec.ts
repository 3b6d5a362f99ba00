/* A variable's value is checked against the rules of its pack, in bounded time. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { compilePattern, matchWithin, PATTERN_TIMEOUT_MS } from '../../../src/templating/pattern.js';
import { checkValue, type VariableRules, type VariableType } from '../../../src/templating/variable.js';

const check = (type: VariableType, value: unknown, rules: VariableRules = {}): string => {
  const checked = checkValue({ name: 'v', type, required: true, rules }, value);
  return checked.ok ? `text: ${checked.text}` : checked.problem;
};

describe('checkValue', () => {
  it.each<[VariableType, unknown, string]>([
    ['string', 'a', 'text: a'],
    ['string', '', 'text: '],
    ['string', 1, 'must be a string'],
    ['number', 1.5, 'text: 1.5'],
    ['number', '1.50', 'text: 1.5'],
    ['number', '0x10', 'must be a number'],
    ['number', ' 1', 'must be a number'],
    ['number', '', 'must be a number'],
    ['number', '1e999', 'must be a number'],
    ['number', NaN, 'must be a number'],
    ['number', true, 'must be a number'],
    ['boolean', false, 'text: false'],
    ['boolean', 'true', 'text: true'],
    ['boolean', 'yes', 'must be a boolean'],
    ['boolean', 1, 'must be a boolean'],
    ['array', ['a'], 'text: ["a"]'],
    ['array', { a: 1 }, 'must be an array'],
    ['object', { a: 1 }, 'text: {"a":1}'],
    ['object', [1], 'must be an object'],
    ['object', null, 'must be an object'],
  ])('checks a %s given %j: %s', (type, value, result) => {
    expect(check(type, value)).toBe(result);
  });

  it.each<[VariableType, unknown, VariableRules, string]>([
    ['string', 'abc', { minLength: 4 }, 'must have at least 4 characters'],
    ['string', 'abcd', { minLength: 4 }, 'text: abcd'],
    ['string', 'abc', { maxLength: 2 }, 'must not be longer than 2 characters'],
    ['string', '😀😀', { maxLength: 2 }, 'text: 😀😀'],
    ['string', '😀😀', { minLength: 3 }, 'must have at least 3 characters'],
    ['number', 1, { minimum: 2 }, 'must be at least 2'],
    ['number', 3, { maximum: 2 }, 'must be at most 2'],
    ['number', '2', { minimum: 2, maximum: 2 }, 'text: 2'],
    ['string', 'x', { oneOf: ['a', 'b'] }, 'must be one of "a", "b"'],
    ['number', '2', { oneOf: [1, 2] }, 'text: 2'],
    ['array', [1], { oneOf: [[1]] }, 'text: [1]'],
    ['string', 'a1', { pattern: /^[a-z]+$/u }, 'must match the pattern ^[a-z]+$'],
    ['string', 'é', { pattern: /^\p{L}$/u }, 'text: é'],
  ])('checks a %s given %j under %j: %s', (type, value, rules, result) => {
    expect(check(type, value, rules)).toBe(result);
  });

  it('bounds values that the pack does not bound', () => {
    expect(check('string', 'x'.repeat(2_000))).toMatch(/^text/);
    expect(check('string', 'x'.repeat(2_001))).toBe('must not be longer than 2000 characters');
    expect(check('object', { a: 'x'.repeat(2_001) })).toBe('must not be longer than 2000 characters');
  });
});

describe('matchWithin', () => {
  it('finds a pattern anywhere unless it is anchored', () => {
    expect(matchWithin(compilePattern('b'), 'abc')).toBe(true);
    expect(matchWithin(compilePattern('^b'), 'abc')).toBe(false);
  });

  it('aborts a pattern that backtracks without end, and works again afterwards', () => {
    const started = performance.now();
    expect(matchWithin(compilePattern('^(?=(a+)+$)'), `${'a'.repeat(60)}!`)).toBe('undecided');
    // Without the abort this match takes centuries. The bound is generous for a busy machine.
    expect(performance.now() - started).toBeLessThan(PATTERN_TIMEOUT_MS * 100);
    expect(matchWithin(compilePattern('^a+$'), 'aaa')).toBe(true);
    expect(check('string', `${'a'.repeat(60)}!`, { pattern: compilePattern('^(?=(a+)+$)') })).toMatch(
      /^takes too long/,
    );
  });

  it('decides in linear time where backtracking takes too long and the pattern needs none', () => {
    expect(matchWithin(compilePattern('^(a+)+$'), `${'a'.repeat(60)}!`)).toBe(false);
    expect(matchWithin(compilePattern('(?i)^(a+)+!$'), `${'A'.repeat(60)}!`)).toBe(true);
  });

  it('does not count time in which the process did not run', async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `
          import { compilePattern, matchWithin } from './src/templating/pattern.js';
          const [pattern, value] = [compilePattern('^[a-z]+$'), 'a'.repeat(1_000_000)];
          console.log('begun');
          let found = new Set();
          for (const until = Date.now() + 600; Date.now() < until; ) found.add(matchWithin(pattern, value));
          console.log([...found].join());`,
        resolveDir: '.',
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['re2js'],
      write: false,
    });
    const child = spawn(process.execPath, ['--input-type=module', '-e', outputFiles[0]?.text ?? '']);
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = once(child, 'close');
    while (!said.includes('begun')) await once(child.stdout, 'data');
    // Simulates a busy machine: the process stalls for longer than a match may take.
    for (let i = 0; i < 10; i++) {
      child.kill('SIGSTOP');
      await setTimeout(PATTERN_TIMEOUT_MS * 2);
      child.kill('SIGCONT');
      await setTimeout(7);
    }
    await ended;
    expect(said.trim().split('\n')).toEqual(['begun', 'true']);
  });
});
