import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MANY_STEPS } from '../work-budget.ts';
import { withoutLikeRows } from './literal-rows.ts';
import { Names } from './names.ts';
import { PostgresParser } from './parser.ts';
import { FEW_NAMES } from './test-catalogue.ts';
import { analyseText } from './text-facts.ts';

const parser = await PostgresParser.create();
const names = new Names(null, [], FEW_NAMES, parser);

/** Values that can stand in VALUES, of which some are left for the parser. */
const VALUES = [
  '1',
  '-2.5e3',
  '- 3',
  '$1',
  "'it''s; (a), b'",
  "'a\\'",
  "E'it\\'s'",
  "'--'",
  "'/*'",
  'NULL',
  'DEFAULT',
  'true',
  'now()',
  'current_timestamp',
  "'2026-01-01'::date",
  "'1'::numeric(10, 2)",
  "'x'::timestamp with time zone",
  'ARRAY[1, 2, 3]',
  "ARRAY['a']::text[]",
  // From here on: too much to be read without a parser.
  "'a' /* ) */",
  "'a'\n'b'",
  "U&'\\0041'",
  "B'01'",
  '$$a)$$',
  "date '2026-01-01'",
  "repeat('x', 5)",
  '(SELECT a FROM u)',
  'pg_sleep(5)',
  'x."y"',
  '1 + 1',
] as const;

const HEADS = ['INSERT INTO t VALUES ', 'insert into "s"."T" (a, "b")\n values', 'INSERT INTO s.t AS x(a,b) VALUES'];
const TAILS = [
  '',
  ';',
  ' ON CONFLICT (a) DO UPDATE SET b = 1 RETURNING a',
  '; DELETE FROM t',
  ' -- end',
  ', (1',
  ' /* ; */',
];

test('an INSERT without its like rows is read as the whole one is', () => {
  let shortened = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...HEADS),
      fc.array(fc.array(fc.constantFrom(...VALUES), { minLength: 1, maxLength: 2 }), { minLength: 2, maxLength: 6 }),
      fc.constantFrom(',', ' ,\n'),
      fc.constantFrom(...TAILS),
      (head, rows, comma, tail) => {
        const text = head + rows.map((row) => `(${row.join(', ')})`).join(comma) + tail;
        const short = withoutLikeRows(text);
        if (short === null) return;
        shortened += 1;
        const whole = analyseText(names, text, MANY_STEPS).facts.statements;
        const part = analyseText(names, short.text, MANY_STEPS).facts.statements;
        const placed = (at: number) => (at >= short.rowsEnd ? at + short.removed : at);
        // What each literal meets is not told of a text that was made shorter.
        const without = { fingerprint: '', given: null };
        assert.deepEqual(
          part.map((one) => ({ ...one, start: placed(one.start), end: placed(one.end), ...without })),
          whole.map((one) => ({ ...one, ...without })),
          text,
        );
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(shortened > 200, `${shortened} were shortened`);
});

test('a million rows of one kind are one', () => {
  const row = "(1, 'it''s', NULL, $2, '2026-01-01'::date)";
  const text = `INSERT INTO t (a, b) VALUES ${`${row}, `.repeat(200_000)}${row}`;
  assert.equal(withoutLikeRows(text)?.text, `INSERT INTO t (a, b) VALUES ${row}`);
});

test('what does more than the rows before it is left in', () => {
  const kept = (rows: string) => withoutLikeRows(`INSERT INTO t VALUES (1),(2),(3),${rows}`)?.text;
  assert.equal(kept("(pg_read_file('x'))"), "INSERT INTO t VALUES (1),(pg_read_file('x'))");
  assert.equal(kept("('x'::evil), ('y'::evil)"), "INSERT INTO t VALUES (1),('x'::evil)");
  assert.equal(kept('(evil()), (evil())'), 'INSERT INTO t VALUES (1),(evil())');
  assert.equal(kept("('x"), "INSERT INTO t VALUES (1),('x");
  assert.equal(withoutLikeRows('INSERT INTO t /* VALUES */ VALUES (1), (2)'), null);
  assert.equal(withoutLikeRows('SELECT 1'), null);
});

test('bulk inserts of any length are read as what they are', async () => {
  for (const megabytes of [1, 10]) {
    const row = "(12345, 'it''s ; some (text)', NULL, 1.5)";
    const text = `INSERT INTO t VALUES ${row}${`,\n${row}`.repeat((megabytes * 1024 * 1024) / row.length)} RETURNING a`;
    const [only, ...others] = analyseText(names, text, MANY_STEPS).facts.statements;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [only!.kind, only!.end, only!.effects.map(({ effect }) => effect)],
      ['INSERT', text.length, ['insert', 'read']],
    );
  }
});
