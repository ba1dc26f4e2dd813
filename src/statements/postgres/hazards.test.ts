import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { FEW_STEPS } from '../work-budget.ts';
import { PostgresAnalyzer } from './analyzer.ts';
import { Names, Readings } from './names.ts';
import { tooDeep } from './nesting.ts';
import { PostgresParser } from './parser.ts';
import { FEW_NAMES, LIBRARY } from './test-catalogue.ts';
import { analyseText } from './text-facts.ts';

/** Texts that grow one construct until they have about `bytes` bytes. */
function grown(bytes: number): [string, string][] {
  const grow = (before: string, open: string, middle: string, close = '', after = ''): string => {
    const times = Math.floor((bytes - before.length - middle.length - after.length) / (open.length + close.length));
    return before + open.repeat(times) + middle + close.repeat(times) + after;
  };
  return Object.entries({
    plus: grow('select 1', '+1', ''),
    minus: grow('select ', '- ', '1'),
    'minus in parentheses': grow('select ', '-(', '1', ')'),
    tilde: grow('select ', '~ ', '1'),
    power: grow('select 1', '^1', ''),
    concatenation: grow('select 1', '||1', ''),
    'operator()': grow('select 1', ' operator(pg_catalog.+) 1', ''),
    and: grow('select 1', ' and 1', ''),
    or: grow('select 1', ' or 1', ''),
    'and with or': grow('select 1', ' and 1 or 1', ''),
    not: grow('select ', 'not ', '1'),
    cast: grow('select a', '::a', ''),
    'cast()': grow('select ', 'cast(', '1', ' as a)'),
    collate: grow('select a', ' collate c', ''),
    'at time zone': grow('select a', ' at time zone a', ''),
    'is null': grow('select a', ' is null', ''),
    in: grow('select a', ' in (a)', ''),
    'any()': grow('select a', ' = any(a)', ''),
    parentheses: grow('select ', '(', '1', ')'),
    rows: grow('select ', '((1,2)=', '(1,2)', ')'),
    'sub-selects': grow('select ', '(select ', '1', ')'),
    'sub-selects in FROM': grow('select 1 from ', '(select 1 from ', 't', ') a'),
    lateral: grow('select 1 from ', 'lateral (select 1 from ', 'a', ') a'),
    exists: grow('select ', 'exists(select ', '1', ')'),
    'limit (select)': grow('select 1 limit ', '(select 1 limit ', '1', ')'),
    'case when': grow('select ', 'case when ', '1', ' then 1 end'),
    'case else': grow('select ', 'case when 1 then 1 else ', '1', ' end'),
    functions: grow('select ', 'f(', '1', ')'),
    'named arguments': grow('select ', 'f(a=>', '1', ')'),
    windows: grow('select ', 'f() over (order by ', '1', ')'),
    filters: grow('select ', 'f(', '1', ') filter (where true)'),
    coalesce: grow('select ', 'coalesce(', '1', ')'),
    arrays: grow('select array', '[', '1', ']'),
    subscripts: grow('select ', '(a).b[', '1', ']'),
    'one subscript after the other': grow('select a', '[1]', ''),
    fields: grow('select a', '.a', ''),
    joins: grow('select 1 from a', ' cross join a', ''),
    'joins with ON': grow('select 1 from a', ' join a on true', ''),
    'joins to the right': grow('select 1 from ', 'a join ', 'a', ' on true'),
    'joins in parentheses': grow('select 1 from ', '(', 'a', ' cross join a)'),
    union: grow('select 1', ' union select 1', ''),
    intersect: grow('select 1', ' intersect select 1', ''),
    'union to the right': grow('', '(select 1 union ', 'select 1', ')'),
    'with in with': grow('', 'with a as (', 'select 1', ') select 1'),
    'insert in with': grow('', 'with a as (insert into t ', 'select 1', ') select 1'),
    'delete in with': grow('', 'with a as (delete from t where exists (', 'select 1', ')) select 1'),
    'grouping sets': grow('select 1 group by ', 'grouping sets (', 'a', ')'),
    json_object: grow('select ', "json_object('a':", '1', ')'),
    xmlelement: grow('select ', 'xmlelement(name a,', '1', ')'),
    'in list': grow('select 1 in (1', ',1', ')'),
    columns: grow('select a', ',a', ''),
    'order by': grow('select 1 order by 1', ',1', ''),
    values: grow('values (1)', ',(1)', ''),
    tables: grow('select 1 from a', ',a', ''),
    'joins of stored tables': grow('select * from books', ' cross join books', ''),
    'stars of stored tables': grow('select 1', ',b.*', ' from books b'),
    'common tables of stars': grow('with ', 'a as (select * from books), ', 'b as (select 1) select 1'),
    'joins with USING': grow('select * from books', ' join books using (id)', ''),
    'bounds with OR': grow('delete from books where id = 1', ' or id = 1', ''),
    'bounds with AND': grow('delete from books where id = 1', ' and title = $1', ''),
    'nested views': grow('select 1 from ', '(select * from shown natural join ', 'catalogue', ') a'),
    semicolons: grow('', ';', ''),
    statements: grow('', 'select 1;', ''),
    schema: grow('create schema a', ' create table a()', ''),
    'strings on lines': grow("select 'a'", "\n'a'", ''),
    'one string': grow("select '", 'é', "'"),
    'one word': grow('select ', 'a', ''),
    comments: grow('', '/*', '', '*/', 'select 1'),
    'open comments': grow('', '/*', ''),
    'open parentheses': grow('select ', '(', ''),
    'open quotes': grow('select ', '"a" \'', ''),
    'dollar signs': grow('select ', '$', ''),
    'dollar tags': grow('select ', '$a$', ''),
  });
}

let parser: PostgresParser;
let names: Names;
let analyzer: PostgresAnalyzer;

before(async () => {
  parser = await PostgresParser.create();
  names = new Names(new Readings(LIBRARY.catalogue!), LIBRARY.searchPath, FEW_NAMES, parser);
  analyzer = await PostgresAnalyzer.create();
  // A process that has run for a while: V8 has optimised the parser, which changes how much stack it takes.
  for (const [, text] of grown(200)) for (let i = 0; i < 20; i += 1) analyseText(names, text, FEW_STEPS);
});

after(() => analyzer.close());

const STANDARD = { standardConformingStrings: true };

/** CPU time of this thread for the quickest of three runs: what the work takes when nothing else disturbs it. */
function quickest(work: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 3; run += 1) {
    const start = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(start);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

for (const [name, text] of grown(8 * 1024)) {
  test(`8 KB of ${name} neither trap the parser nor hold the thread for 50 ms`, () => {
    const instances = parser.instances;
    const milliseconds = quickest(() => analyseText(names, text, FEW_STEPS));
    assert.equal(parser.instances, instances, 'the parser trapped');
    assert.ok(milliseconds < 50, `${milliseconds} ms`);
    assert.equal(analyseText(names, 'SELECT 1', FEW_STEPS).facts.statements[0]?.kind, 'SELECT');
  });
}

test('256 KB of anything get an answer, and the next long text its own', async () => {
  for (const [name, text] of grown(255 * 1024)) {
    const facts = await analyzer.analyze(text, STANDARD);
    assert.ok(Array.isArray(facts.statements), name);
  }
  const list = `SELECT a FROM t WHERE id IN (${'1,'.repeat(5000)}1)`;
  assert.deepEqual((await analyzer.analyze(list, STANDARD)).statements[0]?.effects, [
    {
      effect: 'read',
      object: { kind: 'relation', schema: null, name: 't' },
      predicate: 'bounded',
      via: null,
      columns: ['id', 'a'],
    },
  ]);
});

test('whatever constructs are nested in whatever others, what passes the bounds does not trap the parser', () => {
  const layer = fc.constantFrom(
    (x: string) => `(${x}+1)`,
    (x: string) => `(1+${x}*2-3)`,
    (x: string) => `(select ${x})`,
    (x: string) => `f(${x}, not ${x.length < 40 ? x : '1'})`,
    (x: string) => `case when ${x} then 1 else 2 end`,
    (x: string) => `(select 1 from (select ${x}) a join b on ${x.length < 40 ? x : 'true'})`,
    (x: string) => `array[${x}, 1]`,
    (x: string) => `(with a as (delete from t where ${x} returning 1) select 1)`,
    (x: string) => `(1 in (select 1 where ${x}))`,
    (x: string) => `(${x})::text::text`,
    (x: string) => `- - ${x}`,
    (x: string) => `(${x}${'+1'.repeat(300)})`,
    (x: string) => `f() over (order by ${x})`,
  );
  fc.assert(
    fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (layers) => {
      let text = '1';
      for (let i = 0; ; i += 1) {
        const next = layers[i % layers.length]!(text);
        if (next.length > 8000 || tooDeep(`select ${next}`)) break;
        text = next;
      }
      const instances = parser.instances;
      const { facts } = analyseText(names, `select ${text}`, FEW_STEPS);
      assert.equal(parser.instances, instances, 'the parser trapped');
      assert.notEqual(facts.statements[0]?.effects[0]?.via, 'too deep', 'our own walk ran out of stack');
    }),
    { numRuns: 60 },
  );
});

test('a parser that traps is replaced at once, and again when it traps again', async () => {
  const poisoned = await PostgresParser.create();
  const bomb = `select 1${'+1'.repeat(30_000)}`;
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(poisoned.parse(bomb), { outcome: 'failed' });
    assert.equal(poisoned.parse('select 1').outcome, 'parsed', 'the spare answers');
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  assert.equal(poisoned.instances, 5);
});

test('a parser without an instance fails, and has one a moment later', async () => {
  const poisoned = await PostgresParser.create();
  const bomb = `select 1${'+1'.repeat(30_000)}`;
  for (let i = 0; i < 3; i += 1) assert.deepEqual(poisoned.parse(bomb), { outcome: 'failed' });
  assert.deepEqual(poisoned.parse('select 1'), { outcome: 'failed' });
  const until = Date.now() + 10_000;
  while (poisoned.parse('select 1').outcome !== 'parsed' && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(poisoned.parse('select 1').outcome, 'parsed');
});

test('operators inside strings, comments and identifiers do not count as nesting', () => {
  const many = '((((-+-+-+'.repeat(400);
  for (const text of [
    `'${many}'`,
    `E'\\'${many}'`,
    `$a$${many}$a$`,
    `"${many}"`,
    `1 /* ${many} */`,
    `1 -- ${many}\n`,
  ]) {
    assert.equal(tooDeep(`select ${text}`), false, text.slice(0, 12));
  }
});

test('long but flat statements are not too deep', () => {
  assert.equal(tooDeep(`select 1 where ${'a = 1 and b = 2 or '.repeat(5000)}true`), false);
  assert.equal(tooDeep(`insert into t values ${"(1, 'x', now() - interval '1 day'),".repeat(5000)}(1)`), false);
  assert.equal(tooDeep('update t set a = a + 1 where b = 2;'.repeat(3000)), false);
});
