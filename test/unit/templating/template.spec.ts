import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { syntaxOf } from '../../../src/templating/syntax.js';
import { parseTemplate } from '../../../src/templating/template.js';

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

  it('reads the parts of objects and arrays', () => {
    expect(parseTemplate('{{user.profile.name}}{{ items[0].title }}').template).toEqual([
      { name: 'user', path: ['profile', 'name'] },
      { name: 'items', path: [0, 'title'] },
    ]);
  });

  it.each([
    [
      '${variable}',
      'a ${x}${ y.z } {{b}} $c ${"${"}d}',
      ['a ', { name: 'x' }, { name: 'y', path: ['z'] }, ' {{b}} $c ', '${', 'd}'],
    ],
    ['{variable}', '{"a": {x}, "b": {}} {y} {', ['{"a": ', { name: 'x' }, ', "b": {}} ', { name: 'y' }, ' {']],
    ['{{ var }}', '{x} {{y}}', ['{x} ', { name: 'y' }]],
  ])('honours the syntax %s', (example, source, template) => {
    const parsed = parseTemplate(source, syntaxOf(example));
    expect(parsed).toEqual({ template, problems: [] });
  });

  it('knows no other syntax', () => {
    for (const example of ['<%variable%>', '{{variable}', '', '{{}}', '{{a b}}'])
      expect(syntaxOf(example)).toBeUndefined();
  });

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
