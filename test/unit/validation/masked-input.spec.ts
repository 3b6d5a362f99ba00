/* Placeholders in what a provider receives, and the way back. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compileGuardrails } from '../../../src/validation/compile-guardrails.js';
import { MaskedInput } from '../../../src/validation/masked-input.js';

const masked = (): MaskedInput => new MaskedInput(compileGuardrails([{ type: 'pii', enabled: true, params: {} }]));
const free = (): boolean => false;

describe('masked input', () => {
  it('gives one value one placeholder, and each kind its own numbers', () => {
    const input = masked();
    expect(input.mask('ann@example.com, +49 30 1234567', free)).toBe('[EMAIL_1], [PHONE_1]');
    expect(input.mask('bob@example.com and ann@example.com', free)).toBe('[EMAIL_2] and [EMAIL_1]');
    expect([...input.values]).toEqual(['ann@example.com', '+49 30 1234567', 'bob@example.com']);
  });

  it('takes no placeholder that the input holds already', () => {
    expect(masked().mask('ann@example.com', (placeholder) => placeholder === '[EMAIL_1]')).toBe('[EMAIL_2]');
  });

  it('puts a value back inside JSON as JSON', () => {
    const input = masked();
    input.mask('"a"@example.com is no address, a@example.com is', free);
    expect(JSON.parse(`{"to":"${input.restoring(true).push('[EMAIL_1]')}"}`)).toEqual({ to: 'a@example.com' });
  });

  it('restores the same text whatever the cut', () => {
    const input = masked();
    input.mask('ann@example.com bob@example.com', free);
    const piece = fc.constantFrom('[EMAIL_1]', '[EMAIL_2]', '[EMAIL_3]', '[', '[EM', 'AIL_1]', ']', 'a ', '[[');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 6 }), (parts, at) => {
        const whole = parts.join('');
        const expected = whole.replaceAll('[EMAIL_1]', 'ann@example.com').replaceAll('[EMAIL_2]', 'bob@example.com');
        const cuts = [0, ...at.map((n) => n % (whole.length + 1)).sort((a, b) => a - b), whole.length];
        const text = input.restoring(false);
        const restored = cuts.slice(1).map((end, i) => text.push(whole.slice(cuts[i], end)));
        expect(restored.join('') + text.end()).toBe(expected);
      }),
      { seed: 20_261_129, numRuns: 1_000 },
    );
  });
});
