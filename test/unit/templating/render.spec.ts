import { describe, expect, it } from '@jest/globals';
import { assembleSystem, renderPrompt } from '../../../src/templating/render.js';
import { compiled, thrownBy } from './packs.js';
import fc from 'fast-check';

const text = (name: string, more: object = {}): object => ({ name, type: 'string', required: true, ...more });
const optional = (name: string, type: string, more: object = {}): object => ({ name, type, required: false, ...more });

describe('renderPrompt', () => {
  it('fills holes with values and defaults, and with nothing for an optional variable without either', () => {
    const prompt = compiled({
      template: '{{ who }}|{{count}}|{{loud}}|{{list}}|{{shape}}|{{gone}}|{{who}}',
      variables: [
        text('who'),
        optional('count', 'number', { default: 3 }),
        optional('loud', 'boolean', { default: false }),
        optional('list', 'array', { default: ['a', 1] }),
        optional('shape', 'object', { default: { a: 1 } }),
        optional('gone', 'string'),
      ],
    });
    expect(renderPrompt(prompt, { who: 'Ada' }).system).toBe('Ada|3|false|["a",1]|{"a":1}||Ada');
    expect(renderPrompt(prompt, { who: 'Ada', count: 0, loud: true }).system).toMatch(/^Ada\|0\|true\|/);
  });

  it('renders a prompt again for another configuration, and for a request with a value', () => {
    const prompt = compiled({ template: '{{a}}', variables: [optional('a', 'string', { default: 'x' })] });
    const configured = { a: 'y' };
    expect(renderPrompt(prompt, {}, { configured }).system).toBe('y');
    expect(renderPrompt(prompt).system).toBe('x');
    expect(renderPrompt(prompt, { a: 'z' }, { configured }).system).toBe('z');
    expect(renderPrompt(prompt, {}, { configured, bound: { a: 'w' } }).system).toBe('w');
    expect(renderPrompt(prompt, {}, { configured }).system).toBe('y');
  });

  it('treats null as absent', () => {
    const prompt = compiled({ template: '{{a}}', variables: [optional('a', 'string', { default: 'x' })] });
    expect(renderPrompt(prompt, { a: null }).system).toBe('x');
  });

  it('returns the id of the prompt and its guardrails', () => {
    const guard = { type: 'max_length', params: { max_characters: 9 }, message: 'Too long.' };
    const prompt = compiled({ more: { validators: [guard], parameters: { temperature: 0.2, max_tokens: 50 } } });
    expect(renderPrompt(prompt)).toEqual({
      pack: 'shop',
      name: 'greet',
      version: '1.0.0',
      system: 'Hello.',
      guardrails: [{ ...guard, enabled: true }],
      parameters: { temperature: 0.2, maxTokens: 50 },
      tools: { offered: [], only: null, blocked: new Set(), choice: null, maxRounds: null, maxCalls: null },
    });
  });

  it('renders in one pass: each value appears verbatim in its place', () => {
    const prompt = compiled({
      template: 'A{{a}}B{{b}}C{{a}}',
      variables: [text('a', { validation: { max_length: 5000 } }), text('b', { validation: { max_length: 5000 } })],
    });
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc
        .array(fc.constantFrom('{{a}}', '{{b}}', '{{', '}}', '$&', '$1', '$$', '\\', '{{"{{"}}', 'x'))
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(value, value, (a, b) => renderPrompt(prompt, { a, b }).system === `A${a}B${b}C${a}`),
      { seed: 3, numRuns: 500 },
    );
  });

  it('inserts parts of objects and arrays, and refuses a part that is not there', () => {
    const prompt = compiled({
      template: '{{user.name}}|{{user.tags}}|{{items[1].id}}|{{user}}',
      variables: [
        optional('user', 'object', { required: true }),
        optional('items', 'array', { default: [{}, { id: 7 }] }),
      ],
    });
    const user = { name: '{{items}}', tags: ['a'] };
    expect(renderPrompt(prompt, { user }).system).toBe(`{{items}}|["a"]|7|${JSON.stringify(user)}`);
    expect(renderPrompt(prompt, { user: JSON.stringify(user) }).system).toBe(
      `{{items}}|["a"]|7|${JSON.stringify(user)}`,
    );
    expect(thrownBy(() => renderPrompt(prompt, { user: { name: 'x' } }))).toMatchObject({
      code: 'missing_variable',
      param: 'prompt.variables.user.tags',
    });
    expect(thrownBy(() => renderPrompt(prompt, { user: { constructor: 'x', tags: 1 } }))).toMatchObject({
      param: 'prompt.variables.user.name',
    });
  });

  it('renders the template and parameters of a model override', () => {
    const prompt = compiled({
      template: 'Hello {{who}}.',
      variables: [text('who')],
      more: {
        parameters: { temperature: 0.2, max_tokens: 50 },
        model_overrides: {
          a: { system_template_prefix: '<{{who}}>', system_template_suffix: '!' },
          b: { system_template: 'Bye {{who}}', system_template_suffix: '!', parameters: { temperature: 1 } },
        },
      },
    });
    const render = (model: string) => renderPrompt(prompt, { who: 'Ada' }, { model });
    expect(render('a')).toMatchObject({ system: '<Ada>Hello Ada.!', parameters: { temperature: 0.2, maxTokens: 50 } });
    expect(render('b')).toMatchObject({ system: 'Bye Ada!', parameters: { temperature: 1, maxTokens: 50 } });
    expect(render('a-2').system).toBe('Hello Ada.');
  });

  describe('with other sources than the request', () => {
    const facts = {
      now: new Date('2026-03-01T23:30:05Z'),
      timeZone: 'Asia/Tokyo',
      conversationId: 'conv_1',
      model: 'm',
      tenant: 'acme',
      user: 'Ada',
      attributes: { plan: 'Gold' },
    };

    it('takes credential, then request, then configuration, then built-in facts, then the default', () => {
      const prompt = compiled({
        template: '{{a}}|{{b}}|{{c}}|{{user_id}}|{{d}}',
        variables: [...'abc']
          .map((name) => text(name))
          .concat(text('user_id'), optional('d', 'string', { default: 'd' })),
      });
      const sources = { bound: { a: '1' }, configured: { a: '0', b: '0', c: '3' }, facts };
      expect(renderPrompt(prompt, { b: '2' }, sources).system).toBe('1|2|3|Ada|d');
      expect(thrownBy(() => renderPrompt(prompt, { a: '2', b: '2' }, sources))).toMatchObject({
        code: 'invalid_variable',
        param: 'prompt.variables.a',
      });
    });

    it('knows date, time, time zone, conversation and user without a declaration', () => {
      const prompt = compiled({
        template:
          '{{current_date}} {{current_time}} {{current_weekday}} {{current_month}} {{current_year}} {{current_hour}} {{timezone}} {{conversation_id}} {{user_id}}',
      });
      expect(renderPrompt(prompt, {}, { facts }).system).toBe(
        '2026-03-02 08:30:05 Monday March 2026 08 Asia/Tokyo conv_1 Ada',
      );
      expect(thrownBy(() => renderPrompt(prompt, { current_date: 'x' }, { facts }))).toMatchObject({
        code: 'invalid_variable',
      });
      expect(thrownBy(() => renderPrompt(prompt))).toMatchObject({ code: 'missing_variable' });
    });

    it('binds a variable to a fact, which a request may replace unless auto_populate is set', () => {
      const bound = (name: string, binding: object): object => text(name, { binding });
      const prompt = compiled({
        template: '{{user}}|{{plan}}|{{free}}',
        variables: [
          bound('user', { kind: 'session', field: 'user_id', auto_populate: true, filter: 'lowercase' }),
          bound('plan', { kind: 'session', auto_populate: true }),
          bound('free', { kind: 'context', field: 'date' }),
        ],
      });
      expect(renderPrompt(prompt, {}, { facts }).system).toBe('ada|Gold|2026-03-02');
      expect(renderPrompt(prompt, { free: 'x' }, { facts }).system).toBe('ada|Gold|x');
      expect(thrownBy(() => renderPrompt(prompt, { user: 'eve' }, { facts }))).toMatchObject({
        code: 'invalid_variable',
        message: expect.stringContaining('is set by the gateway'),
      });
      expect(thrownBy(() => renderPrompt(prompt, {}, { facts: { ...facts, user: null } }))).toMatchObject({
        code: 'missing_variable',
      });
    });
  });

  it('refuses an undeclared variable with the nearest declared name', () => {
    const prompt = compiled({ template: '{{tone}}', variables: [text('tone')] });
    expect(thrownBy(() => renderPrompt(prompt, { tone: 'x', tonne: 'SECRET' }))).toMatchObject({
      code: 'unknown_variable',
      param: 'prompt.variables.tonne',
      message: 'unable to render the prompt shop/greet; it has no variable "tonne"; did you mean tone?',
    });
  });

  it.each(['__proto__', 'constructor', 'toString'])('refuses %s as a variable', (name) => {
    const prompt = compiled({ template: 'x' });
    const given = JSON.parse(`{"${name}": "x"}`) as Record<string, unknown>; // JSON.parse makes __proto__ an own key, as in a request
    expect(thrownBy(() => renderPrompt(prompt, given))).toMatchObject({ code: 'unknown_variable' });
  });

  it('does not find a missing variable on the prototype', () => {
    const prompt = compiled({ template: '{{constructor}}', variables: [text('constructor')] });
    expect(thrownBy(() => renderPrompt(prompt, {}))).toMatchObject({ code: 'missing_variable' });
  });

  it('refuses a missing variable by name', () => {
    const prompt = compiled({ template: '{{who}}', variables: [text('who')] });
    expect(thrownBy(() => renderPrompt(prompt))).toMatchObject({
      code: 'missing_variable',
      status: 400,
      param: 'prompt.variables.who',
      message: expect.stringContaining('"who" is required'),
    });
  });

  it('names the variable and the rule of an invalid value, never the value', () => {
    const prompt = compiled({ template: '{{who}}', variables: [text('who', { validation: { pattern: '^[a-z]+$' } })] });
    const error = thrownBy(() => renderPrompt(prompt, { who: 'SECRET' }));
    expect(error).toMatchObject({ code: 'invalid_variable', param: 'prompt.variables.who' });
    expect(String(error)).toContain('"who" must match the pattern ^[a-z]+$');
    expect(String(error)).not.toContain('SECRET');
  });

  it('truncates a long unknown name in the message', () => {
    const error = thrownBy(() => renderPrompt(compiled({}), { ['n'.repeat(10_000)]: 'x' }));
    expect(String(error).length).toBeLessThan(250);
    expect(error).toMatchObject({ param: `prompt.variables.${'n'.repeat(64)}` });
  });
});

describe('assembleSystem', () => {
  it('puts instructions after the prompt, never instead of it, and renders nothing in them', () => {
    expect(assembleSystem('You are A.', 'Be {{brief}}.')).toBe('You are A.\n\nBe {{brief}}.');
    expect(assembleSystem('You are A.', '  ')).toBe('You are A.');
    expect(assembleSystem('You are A.')).toBe('You are A.');
    expect(assembleSystem('', 'Be brief.')).toBe('Be brief.');
    expect(assembleSystem('')).toBe('');
  });

  it('keeps the whole prompt first for any instructions', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (system, added) => assembleSystem(system, added).startsWith(system)),
      { seed: 4 },
    );
  });
});
