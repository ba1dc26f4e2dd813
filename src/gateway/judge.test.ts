import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionConfig } from '../config/config.ts';
import { RuleSet } from '../policy/decide.ts';
import type { RuleSource } from '../policy/rule-schema.ts';
import { CatalogueIndex } from '../statements/catalogue-index.ts';
import type { Effect, EffectName, StatementFacts, TextFacts } from '../statements/facts.ts';
import { type Analyzer, Judge, type Judgement } from './judge.ts';
import { NO_NAMES } from './names-in-force.ts';

const STANDARD = { lexing: { standardConformingStrings: true }, names: NO_NAMES };
const IDENTITY = { subject: 'agent-1', kind: 'agent', groups: [] } as const;
const CONNECTION: ConnectionConfig = {
  name: 'orders',
  protocol: 'postgres',
  default: 'allow',
  upstream: { host: 'localhost', port: 1, database: 'd', user: 'u', password: null, tls: 'disable', ca: null },
};

function effect(name: EffectName, table: string): Effect {
  return { effect: name, object: { kind: 'relation', schema: 'public', name: table }, predicate: 'none', via: null };
}

function statement(effects: readonly Effect[], end: number, more: Partial<StatementFacts> = {}): StatementFacts {
  const kind = 'DELETE';
  const none = { executes: [], nameChange: null, changesLexing: false, refuses: null };
  return { kind, effects, ...none, fingerprint: '00', start: 0, end, ...more };
}

/** Texts `delete NAME`, each read as a DELETE on that table; `asked` lists the texts it was asked for. */
function analyzerOf(asked: string[]): Analyzer {
  return {
    analyze: (text) => {
      asked.push(text);
      return { statements: [statement([effect('delete', text.slice('delete '.length))], text.length)] };
    },
  };
}

function denying(table: string): RuleSet {
  const rule: RuleSource = {
    id: `no-${table}`,
    action: 'deny',
    match: { effects: ['delete'], tables: [`public.${table}`] },
  };
  return new RuleSet([{ rule, shadow: false }], `denies ${table}`);
}

function judgeOf(analyzer: Analyzer, inForce = { current: denying('orders') }): Judge {
  return new Judge(analyzer, IDENTITY, CONNECTION, inForce);
}

function now(judgement: Judgement | Promise<Judgement>): Judgement {
  assert.ok(!(judgement instanceof Promise));
  return judgement;
}

test('a text seen before is not read again', () => {
  const asked: string[] = [];
  const judge = judgeOf(analyzerOf(asked));
  const first = now(judge.judge('delete orders', STANDARD));
  assert.equal(now(judge.judge('delete orders', STANDARD)), first);
  assert.equal(first.statements[0]?.verdict.action, 'deny');
  assert.deepEqual(asked, ['delete orders']);
});

test('a name that the catalogue does not have is told each time, unless it is made or dropped', () => {
  const missed: string[] = [];
  const none = { relations: [], functions: [], operators: [], casts: [], types: [], unseen: [] };
  const server = { version: 1, dialect: 'postgres', serverVersion: '18', database: 'd', foldsNames: false } as const;
  const data = { ...server, ...none };
  const names = { catalogue: new CatalogueIndex(data, 'v'), searchPath: ['public'] };
  const judge = new Judge(analyzerOf([]), IDENTITY, CONNECTION, { current: denying('x') }, (name) => missed.push(name));
  judge.judge('delete orders', { ...STANDARD, names });
  judge.judge('delete orders', { ...STANDARD, names });
  judge.judge('delete orders', STANDARD);
  assert.deepEqual(missed, ['public.orders', 'public.orders']);
});

test('the same text under another reading of strings is another text', () => {
  const asked: string[] = [];
  const judge = judgeOf(analyzerOf(asked));
  judge.judge('delete orders', STANDARD);
  judge.judge('delete orders', { lexing: { standardConformingStrings: false }, names: NO_NAMES });
  assert.equal(asked.length, 2);
});

test('a text that takes time to read is judged under the rules in force when it is read', async () => {
  let read: (facts: TextFacts) => void = () => undefined;
  const inForce = { current: denying('orders') };
  const judge = judgeOf(
    {
      analyze: () =>
        new Promise((resolve) => {
          read = resolve;
        }),
    },
    inForce,
  );
  const pending = judge.judge('delete orders', STANDARD);
  assert.ok(pending instanceof Promise);
  inForce.current = denying('customers');
  read({ statements: [statement([effect('delete', 'orders')], 13)] });
  assert.equal((await pending).statements[0]?.verdict.action, 'allow');
});

test('other rules hold for the next statement, and for what was judged before as soon as it is used again', () => {
  const inForce = { current: denying('orders') };
  const judge = judgeOf(analyzerOf([]), inForce);
  const before = now(judge.judge('delete orders', STANDARD));
  const customers = now(judge.judge('delete customers', STANDARD));
  inForce.current = denying('customers');
  assert.equal(now(judge.judge('delete orders', STANDARD)).statements[0]?.verdict.action, 'allow');
  assert.equal(now(judge.again(before, NO_NAMES)).statements[0]?.verdict.action, 'allow');
  assert.equal(now(judge.again(customers, NO_NAMES)).statements[0]?.verdict.action, 'deny');
  assert.match(
    now(judge.again(customers, NO_NAMES)).statements[0]?.record.toString() ?? '',
    /"verdict":"deny","rules":\["no-customers"\]/,
  );
});

test('a judgement under the rules in force is used as it is', () => {
  const judge = judgeOf(analyzerOf([]));
  const judgement = now(judge.judge('delete orders', STANDARD));
  assert.equal(now(judge.again(judgement, NO_NAMES)), judgement);
});

test('statements that share their effects share the verdict, and each keeps its own text', () => {
  const effects = [effect('delete', 'orders')];
  const judge = judgeOf({ analyze: (text) => ({ statements: [statement(effects, text.length)] }) });
  const one = now(judge.judge("delete from orders where id = '1'", STANDARD)).statements[0];
  const two = now(judge.judge("delete from orders where id = '2'", STANDARD)).statements[0];
  assert.equal(one?.verdict, two?.verdict);
  assert.match(one?.record.toString() ?? '', /"text":"delete from orders where id = '1'"/);
  assert.match(two?.record.toString() ?? '', /"text":"delete from orders where id = '2'"/);
});

test('a shared verdict does not outlive its rules', () => {
  const effects = [effect('delete', 'orders')];
  const inForce = { current: denying('orders') };
  const judge = judgeOf({ analyze: (text) => ({ statements: [statement(effects, text.length)] }) }, inForce);
  assert.equal(now(judge.judge('one', STANDARD)).statements[0]?.verdict.action, 'deny');
  inForce.current = denying('customers');
  assert.equal(now(judge.judge('two', STANDARD)).statements[0]?.verdict.action, 'allow');
});

test('each statement of a text is judged and recorded by its own part of the text', () => {
  const judge = judgeOf({
    analyze: () => ({
      statements: [
        statement([effect('delete', 'customers')], 5),
        statement([effect('delete', 'orders')], 11, { start: 6, changesLexing: true }),
      ],
    }),
  });
  const judgement = now(judge.judge('first;second', STANDARD));
  assert.deepEqual(
    judgement.statements.map((s) => [s.verdict.action, (JSON.parse(`{${s.record}}`) as { text: string }).text]),
    [
      ['allow', 'first'],
      ['deny', 'secon'],
    ],
  );
  assert.equal(judgement.changesLexing, true);
  assert.equal(judgement.usesNames, false);
});

test('a statement that runs another by name is judged by the effects of both', () => {
  const judge = judgeOf({ analyze: () => ({ statements: [statement([], 9, { kind: 'EXECUTE', executes: ['x'] })] }) });
  const judgement = now(judge.judge('execute x', STANDARD));
  assert.equal(judgement.usesNames, true);
  const facts = judgement.statements[0]!.facts;
  assert.equal(judgement.statements[0]?.verdict.action, 'allow');
  assert.equal(
    judge.judgeStatement('execute x', { ...facts, effects: [effect('delete', 'orders')] }, STANDARD, null).verdict
      .action,
    'deny',
  );
});

test('a record is valid JSON, whatever the text and the names hold', () => {
  const odd = 'a"b\\\u0000\u2028\n\ud800';
  const judge = judgeOf({
    analyze: (text) => ({ statements: [statement([effect('delete', odd)], text.length, { kind: odd })] }),
  });
  const { record } = now(judge.judge(odd, STANDARD)).statements[0]!;
  const fields = JSON.parse(`{${record}}`) as Record<string, unknown>;
  assert.equal(fields.text, odd);
  assert.ok(!record.toString().includes('\n'));
});

test('of a long text of which something may not be recorded only the beginning is', () => {
  const text = `insert ${'x'.repeat(300 * 1024)} 'secret'`;
  const analyzer = {
    analyze: () => ({ statements: [statement([effect('opaque', '')], text.length, { kind: 'OPAQUE' })] }),
  };
  const { record } = now(judgeOf(analyzer).judge(text, STANDARD)).statements[0]!;
  const fields = JSON.parse(`{${record}}`) as Record<string, unknown>;
  assert.equal(fields.text, text.slice(0, 256 * 1024));
  assert.equal(fields.textLength, text.length);
});

test('the number of texts kept is bounded', () => {
  const asked: string[] = [];
  const judge = judgeOf(analyzerOf(asked));
  for (let i = 0; i < 5001; i++) judge.judge(`delete t${i}`, STANDARD);
  asked.length = 0;
  judge.judge('delete t0', STANDARD);
  assert.deepEqual(asked, ['delete t0'], 'the first is forgotten');
  judge.judge('delete t5000', STANDARD);
  assert.deepEqual(asked, ['delete t0'], 'the last is not');
});

test('a text longer than all that may be kept is not kept', () => {
  const asked: string[] = [];
  const judge = judgeOf(analyzerOf(asked));
  const text = `delete ${'x'.repeat(9 * 1024 * 1024)}`;
  judge.judge(text, STANDARD);
  judge.judge(text, STANDARD);
  assert.equal(asked.length, 2);
});
