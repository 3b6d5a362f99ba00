/* The lines of the audit log, and the bound on those about refusals. */

import { describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Principal } from '../../../src/domain/principal.js';
import { type AuditEntry } from '../../../src/observability/audit.js';
import { AuditLog } from '../../../src/observability/audit-log.js';
import { HandTime } from '../../support/hand-time.js';
import { ALICE } from '../turn/turn-harness.js';

type Line = Readonly<Record<string, unknown>>;
const REFUSED = new SluiceError('missing_api_key', 'unable to authenticate; no key; send one');
const READ = { event: 'read', kind: 'response' } as const;

function auditLog(refusalsPerMinute = 600) {
  const time = new HandTime();
  const texts: string[] = [];
  const log = new AuditLog({
    write: (line) => texts.push(line),
    base: { app: 'sluice', environment: 'test' },
    scrub: (line) => line.replaceAll('hidden', '[redacted]'),
    refusalsPerMinute,
    time,
  });
  const write = (entry: Partial<AuditEntry>): void =>
    log.write({ rule: READ, operation: 'GET /x', caller: undefined, address: null, outcome: 'ok', ...entry });
  return { time, log, write, texts, lines: () => texts.map((text) => JSON.parse(text) as Line) };
}
const BOB: Principal = { ...ALICE, user: 'bob', owner: `${ALICE.tenant}/bob` };

describe('a line', () => {
  it('ends an audit line with a line break, gives it the time of the operation, and scrubs it', () => {
    const { write, texts, lines } = auditLog();
    write({ address: 'hidden', about: { id: 'resp_1' } });
    expect(texts[0]?.endsWith('}\n')).toBe(true);
    expect(lines()[0]).toMatchObject({
      stream: 'audit',
      time: '2027-01-15T08:00:00.000Z',
      app: 'sluice',
      environment: 'test',
      id: 'resp_1',
      address: '[redacted]',
    });
  });

  it.each([
    ['response', 'ek_0123456789', null],
    ['response', 'resp_\nforged', null],
    ['response', `resp_${'a'.repeat(65)}`, null],
    ['item', 'msg_0a1', 'msg_0a1'],
    ['client_secret', 'cs_-_a', 'cs_-_a'],
    ['prompt', 'anything', null],
  ] as const)('names a %s only by an id of its form: %j', (kind, id, named) => {
    const { write, lines } = auditLog();
    write({ rule: { event: 'read', kind }, about: { id } });
    expect(lines()[0]?.['id']).toBe(named);
  });

  it('cuts an address in an audit line that a proxy took from its client', () => {
    const { write, lines } = auditLog();
    write({ address: 'x'.repeat(16_000) });
    expect(lines()[0]?.['address']).toBe('x'.repeat(64));
  });

  it('names in an audit line a model only if it exists, and a user only of an authenticated caller', () => {
    const { write, lines } = auditLog();
    const [model, user] = [{ event: 'read', kind: 'model' } as const, { event: 'erased', kind: 'user' } as const];
    write({ rule: model, about: { id: 'some-text' }, outcome: REFUSED });
    write({ rule: model, about: { id: 'gpt-x' }, caller: ALICE });
    write({ rule: user, about: { user: 'some text' }, outcome: REFUSED });
    write({ rule: user, about: { user: 'ann' }, caller: ALICE });
    write({ rule: user, about: { user: 'forged\nline' }, caller: ALICE });
    expect(lines().map(({ id, about_user }) => id ?? about_user)).toEqual([null, 'gpt-x', null, 'ann', null]);
  });

  it('distinguishes in an audit line refusals of the caller from failures of the gateway', () => {
    const { write, lines } = auditLog();
    write({ outcome: new SluiceError('state_unavailable', 'unable to read; away; later') });
    write({ outcome: 'unanswered' });
    expect(lines().map(({ event, outcome, error }) => [event, outcome, error])).toEqual([
      ['failed', 'failed', 'state_unavailable'],
      ['read', 'unanswered', null],
    ]);
  });
});

describe('refusals', () => {
  it('bounds the refusals of callers without a credential together, and counts the others in one line', () => {
    const { write, lines, time } = auditLog(60);
    for (let i = 0; i < 10_000; i += 1) write({ outcome: REFUSED, address: `10.0.0.${i % 250}` });
    expect(lines()).toHaveLength(60);
    time.pass(10_000);
    expect(lines()).toHaveLength(61);
    expect(lines().at(-1)).toEqual({
      stream: 'audit',
      time: '2027-01-15T08:00:10.000Z',
      app: 'sluice',
      environment: 'test',
      event: 'refused',
      outcome: 'refused',
      omitted: 9_940,
      errors: { missing_api_key: 9_940 },
    });
    for (let i = 0; i < 100; i += 1) write({ outcome: REFUSED });
    expect(lines()).toHaveLength(61 + 10);
  });

  it('takes no audit line from another caller, nor from accepted operations, for the refusals of one caller', () => {
    const { write, lines } = auditLog(2);
    for (let i = 0; i < 10; i += 1) write({ outcome: REFUSED });
    for (let i = 0; i < 10; i += 1) write({ outcome: REFUSED, caller: ALICE });
    for (let i = 0; i < 10; i += 1) write({ outcome: REFUSED, caller: BOB });
    for (let i = 0; i < 10; i += 1) write({ caller: ALICE });
    const count = (user: string | null, outcome: string): number =>
      lines().filter((line) => line['user'] === user && line['outcome'] === outcome).length;
    expect([count(null, 'refused'), count('alice', 'refused'), count('bob', 'refused')]).toEqual([2, 2, 2]);
    expect(count('alice', 'ok')).toBe(10);
  });

  it('writes counted refusals when the audit log closes', () => {
    const { write, lines, log } = auditLog(1);
    write({ outcome: REFUSED });
    write({ outcome: REFUSED });
    log.close();
    log.close();
    expect(lines().map(({ omitted }) => omitted)).toEqual([undefined, 1]);
  });
});
