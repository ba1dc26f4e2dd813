import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Ruling } from '../approvals/approvals.ts';
import type { Protocol } from '../config/config.ts';
import { Budgets, Meter } from '../policy/budgets.ts';
import type { Limit } from '../policy/limit.ts';
import { heldBecause, refusalOf as wordsOf } from '../policy/refusal-text.ts';
import type { Verdict } from '../policy/verdict.ts';
import { EFFECT_CLASSES, type Effect, type EffectName, type StatementFacts } from '../statements/facts.ts';
import type { JudgedStatement } from './judge.ts';
import { errorFor, inMysql } from './mysql/errors.ts';
import {
  notAlone,
  overApproved,
  overBudget,
  type Refusal,
  refusalOf,
  refusedByRuling,
  type Unholdable,
  unanswered,
  unholdable,
  unmaskable,
  unsupportedCommand,
  withheldMessages,
  writesMaskBack,
} from './refusal.ts';

/**
 * Every refusal and every word of one, as whoever was refused reads it: agents that are told which setting blocked them try to
 * change it, so messages say what to do instead.
 */

const effect = (name: EffectName, more: Partial<Effect> = {}): Effect => ({
  effect: name,
  object: { kind: 'relation', schema: 'public', name: 'orders' },
  predicate: null,
  via: null,
  ...more,
});

function judged(verdict: Partial<Verdict>, facts: Partial<StatementFacts> = {}): JudgedStatement {
  return {
    text: 'DELETE FROM orders',
    facts: { kind: 'DELETE', effects: [effect('delete')], refuses: null, ...facts },
    verdict: { action: 'allow', rules: [], shadow: [], stable: true, limits: [], masks: null, ...verdict },
  } as unknown as JudgedStatement;
}

const held = judged({
  action: 'hold',
  rule: 'deletes-wait',
  ...heldBecause(effect('delete', { predicate: 'none' }), 'deletes-wait', {}),
  retry: 'after_approval',
  approvals: [],
});
const denied = judged({
  action: 'deny',
  rule: 'no-deletes',
  ...wordsOf(effect('delete'), 'no-deletes', {}),
  retry: 'never',
});
const allowed = judged({});

const rulings: readonly Exclude<Ruling, { kind: 'granted' }>[] = [
  { kind: 'ticket', request: 17 },
  { kind: 'rejected', request: 17, reason: 'use the archive job' },
  { kind: 'expired', request: 17, reason: 'Nobody decided in time.' },
  { kind: 'withdrawn', request: 17 },
  { kind: 'unavailable', reason: 'the disk is gone' },
];
const REASONS: readonly Unholdable[] = [
  ...['failed transaction', 'names changed', 'rows in parts', 'long value'],
  ...['other role', 'temporary tables', 'session only'],
] as Unholdable[];
const PROTOCOLS: readonly Protocol[] = ['postgres', 'mysql'];

function overLimit(per: 'statement' | '24h', action: 'deny' | 'hold'): Refusal {
  const budgets = new Budgets();
  const limit: Limit = {
    rule: 'daily',
    of: 'rows',
    most: 1,
    per: per === 'statement' ? 'statement' : 'window',
    windowMs: per === 'statement' ? null : 86_400_000,
    perText: per,
    action,
    shadow: false,
    approval: null,
    message: undefined,
    hint: undefined,
  };
  const meter = budgets.begin([limit], { subject: 'bot', session: 's' }, 0);
  assert.ok(meter instanceof Meter);
  const over = meter.charge('rows', 5, 0);
  assert.ok(over);
  return overBudget(over, 'SELECT');
}

const refusals: Readonly<Record<string, Refusal>> = {
  'by a deny rule': refusalOf([denied], null)!,
  'by a hold rule, with nobody to ask': refusalOf([held], null)!,
  'for its encoding': refusalOf(
    [judged({}, { refuses: 'sets the client_encoding SJIS, in which text cannot be read safely' })],
    null,
  )!,
  'without a record': refusalOf([allowed], 'EIO: i/o error')!,
  'without room for a record': refusalOf([allowed], 'ENOSPC: no space left on device')!,
  ...Object.fromEntries(
    PROTOCOLS.flatMap((protocol) =>
      rulings.map((ruling) => [`${ruling.kind} (${protocol})`, refusedByRuling(ruling, held, protocol)]),
    ),
  ),
  ...Object.fromEntries(REASONS.map((reason) => [reason, unholdable(held, reason)])),
  'over what was approved': overApproved(17, 10, 12, 'DELETE'),
  'not maskable': unmaskable('a result of 2 columns where 3 were expected', 'SELECT'),
  'writes a mask back': writesMaskBack('pii', 'UPDATE'),
  'unsupported command': unsupportedCommand('COM_BINLOG_DUMP'),
  'withheld messages': withheldMessages('SHOW WARNINGS'),
  'question not alone': notAlone('SHOW'),
  'question unanswered': unanswered('SHOW'),
};

/** What would change the verdict, or where it is kept: nothing for whoever was refused. */
const EVADES =
  /sluice\.yaml|config|shadow|\bmode\b|unless|allow rule|rule file|exempt|disable|turn (it )?off|bypass|journal|\bstore\b|\benv\b|password/i;

function assertReads(message: string, hint: string): void {
  assert.match(message, /^([A-Z]|canceling statement due to user request$|nextval|setval)/, message);
  assert.match(message, /[.]$|reason$|job$|request$/, message);
  assert.match(hint, /^[A-Z].*\.$/, hint);
  assert.doesNotMatch(`${message} ${hint}`, EVADES);
  assert.doesNotMatch(`${message}${hint}`, /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]|undefined|null|\[object/u);
  assert.ok(message.length < 500 && hint.length < 300);
}

describe('a refusal', () => {
  for (const [name, refusal] of Object.entries(refusals)) {
    test(`says what was refused, what to do instead, and whether a retry can pass: ${name}`, () => {
      const { code, message, hint, detail, by } = refusal;
      assertReads(message, hint);
      assert.match(code, /^[0-9A-Z]{5}$/);
      assert.match(by, /^[A-Za-z0-9_.-]+$/);
      assert.ok(!detail.includes('\n'));
      const { sluice } = JSON.parse(detail);
      assert.match(sluice.retry, /^(never|later|after_approval|after:\d{4}-\d\d-\d\dT[\d:.]+Z)$/);
      assert.ok(sluice.verdict === 'deny' || (sluice.verdict === 'hold' && sluice.request === 17));
      assert.ok(sluice.rule !== '' && sluice.statement !== '');

      // MySQL: the same sentence, in a number and state that it has; SHOW WARNINGS has the rest.
      const told = inMysql(refusal);
      assert.deepEqual([told.message, told.hint, told.detail], [message, hint, detail]);
      assert.match(told.code, /^[0-9A-Z]{5}$/);
      assert.deepEqual(errorFor(code, message), { code: told.errno, sqlState: told.code, message });
    });
  }

  test('has the codes that drivers expect of each case', () => {
    const codes = Object.entries(refusals).map(([name, refusal]) => {
      const { errno, code } = inMysql(refusal);
      return [name, refusal.code, errno, code].join(' ');
    });
    for (const expected of [
      'by a deny rule 42501 1142 42000',
      'ticket (postgres) 42501 1142 42000',
      'withdrawn (mysql) 57014 1317 70100',
      'without room for a record 53100 1021 HY000',
      'without a record 58030 1021 HY000',
      'unsupported command 0A000 1047 08S01',
      'question not alone 42601 1064 42000',
    ]) {
      assert.ok(codes.includes(expected), `${expected} not in ${codes.join(', ')}`);
    }
  });

  test('of a ticket names the request, and how to ask for it in the own dialect', () => {
    assert.match(
      refusals['ticket (postgres)']!.hint,
      /request 17.*SHOW sluice\.requests.*send the same statement again/,
    );
    assert.match(refusals['ticket (mysql)']!.hint, /request 17.*SHOW SLUICE REQUESTS.*send the same statement again/);
  });

  test('does not tell why Sluice itself could not go on', () => {
    for (const { message, hint } of Object.values(refusals)) {
      assert.doesNotMatch(`${message} ${hint}`, /EIO|ENOSPC|the disk is gone/);
    }
  });
});

describe('the words of a rule that says none', () => {
  const names = [
    ...new Set<EffectName>([
      ...Object.values(EFFECT_CLASSES).flat(),
      ...(['call-function', 'call-procedure', 'transaction', 'cursor', 'notify', 'listen', 'prepare'] as const),
      ...(['execute', 'explain', 'resource', 'role', 'set-role'] as const),
    ]),
  ];
  const objects: readonly Effect['object'][] = [
    null,
    { kind: 'relation', schema: 'public', name: 'orders' },
    { kind: 'setting', schema: null, name: 'search_path' },
    { kind: 'other', schema: null, name: 'show processlist' },
    { kind: 'other', schema: null, name: 'evil\n\u2028\u202ename'.padEnd(500, 'x') },
  ];
  const vias = [
    null,
    'unparsed: syntax error at or near "SELEC"',
    'too deep',
    'unknown function spy',
    'anonymous code',
  ];
  const predicates = [null, 'none', 'tautology', 'open'] as const;

  for (const name of names) {
    test(`about ${name}`, () => {
      for (const object of objects) {
        for (const via of vias) {
          for (const predicate of predicates) {
            const about = effect(name, { object, via, predicate });
            for (const isAboutPredicate of [false, true]) {
              for (const rule of ['default', 'some-rule']) {
                const refused = wordsOf(about, rule, { isAboutPredicate });
                assertReads(refused.message, refused.hint);
                const waits = heldBecause(about, rule, { isAboutPredicate });
                assertReads(waits.message, waits.hint);
              }
            }
          }
        }
      }
    });
  }
});

for (const per of ['statement', '24h'] as const) {
  for (const action of ['deny', 'hold'] as const) {
    test(`a budget per ${per} that is used up says so, and when it returns (${action})`, () => {
      const { code, message, hint, detail } = overLimit(per, action);
      assertReads(message, hint);
      assert.equal(code, '53400');
      const { retry } = JSON.parse(detail).sluice;
      assert.match(retry, action === 'hold' ? /^after_approval$/ : per === '24h' ? /^after:/ : /^never$/);
    });
  }
}
