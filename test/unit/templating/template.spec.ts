import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { expandFragments, namesIn, parseTemplate } from '../../../src/templating/template.js';

describe('parseTemplate', () => {
  it('splits text and holes, and allows spaces inside the braces', () => {
    expect(parseTemplate('a {{x}}{{ y_1 }} b').template).toEqual(['a ', { name: 'x' }, { name: 'y_1' }, ' b']);
  });

  it.each([`{{"{{"}}x}}`, `{{'{{'}}x}}`, `{{ "{{" }}x}}`])('reads %s as the text {{x}}', (source) => {
    const { template, problems } = parseTemplate(source);
    expect(problems).toEqual([]);
    expect(template.join('')).toBe('{{x}}');
  });

  it.each(['{{}}', '{{1x}}', '{{#if x}}', '{{{x}}}', '{{x|upper}}', '{{a b}}', 'a {{x'])(
    'refuses %s with the correct form',
    (source) => {
      const { problems } = parseTemplate(source);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain('{{name}}');
    },
  );

  it('leaves every text without two opening braces unchanged', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('{{')),
        (text) => parseTemplate(text).template.join('') === text,
      ),
      { seed: 1 },
    );
  });

  it('never throws and always terminates', () => {
    const source = fc
      .array(fc.constantFrom('{{', '}}', '{', '}', '"{{"', 'x', ' ', '\n'))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(source, (text) => Array.isArray(parseTemplate(text).problems)),
      { seed: 2 },
    );
  });
});

describe('expandFragments', () => {
  it('puts the pieces of a fragment in the place of its name', () => {
    const fragments = new Map([['sign', parseTemplate('Yours, {{name}}').template]]);
    const template = expandFragments(parseTemplate('{{text}} {{sign}}').template, fragments);
    expect(template).toEqual([{ name: 'text' }, ' ', 'Yours, ', { name: 'name' }]);
    expect([...namesIn(template)]).toEqual(['text', 'name']);
  });
});
