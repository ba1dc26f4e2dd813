import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { StatementFacts } from '../facts.ts';
import { PostgresAnalyzer } from './analyzer.ts';
import { FEW_NAMES, LIBRARY } from './test-catalogue.ts';

let analyzer: PostgresAnalyzer;
before(async () => {
  analyzer = await PostgresAnalyzer.create({ known: FEW_NAMES });
});
after(() => analyzer.close());

function factsOf(text: string, names = LIBRARY): StatementFacts {
  const facts = analyzer.analyze(text, { standardConformingStrings: true }, names);
  assert.ok(!(facts instanceof Promise));
  return facts.statements[0]!;
}

/** `name = plain members.pin`, `n = none`; columns without the schema public, sorted. */
function outputs(text: string, names = LIBRARY): readonly string[] | undefined {
  return factsOf(text, names).outputs?.map(({ name, from, columns }) => {
    const sources = columns
      .map(
        ({ schema, relation, column }) =>
          `${schema === 'public' || schema === null ? '' : `${schema}.`}${relation}.${column}`,
      )
      .sort();
    return `${name} = ${[from, ...new Set(sources)].join(' ')}`;
  });
}

function uses(text: string, names = LIBRARY): readonly string[] | undefined {
  return factsOf(text, names)
    .uses?.map(
      ({ use, schema, relation, column }) => `${use} ${schema === 'staff' ? 'staff.' : ''}${relation}.${column}`,
    )
    .sort();
}

const OUTPUTS: readonly (readonly [string, ...string[]])[] = [
  ['SELECT 1', '?column? = none'],
  ['SELECT pin FROM members', 'pin = plain members.pin'],
  ['SELECT pin AS name, name AS pin FROM members', 'name = plain members.pin', 'pin = plain members.name'],
  [
    'SELECT m.* FROM members m (a, b)',
    'a = plain members.id',
    'b = plain members.name',
    'pin = plain members.pin',
    'born = plain members.born',
  ],
  ['SELECT b FROM members m (a, b)', 'b = plain members.name'],
  ['TABLE staff.members', 'id = plain staff.members.id', 'salary = plain staff.members.salary'],
  ['SELECT salary FROM staff.members', 'salary = plain staff.members.salary'],
  ['SELECT (m).pin, m.pin FROM members m', 'pin = plain members.pin', 'pin = plain members.pin'],
  ['SELECT pin(members) FROM members', 'pin = plain members.pin'],
  ['SELECT m FROM staff.members m', 'm = derived staff.members.id staff.members.salary'],
  [
    'SELECT m::text, to_jsonb(m), row_to_json(m.*) FROM staff.members m',
    ...['m', 'to_jsonb', 'row_to_json'].map((n) => `${n} = derived staff.members.id staff.members.salary`),
  ],
  [
    'SELECT pin || \'x\', lower(pin), pin::bytea, pin COLLATE "C" FROM members',
    '?column? = derived members.pin',
    'lower = derived members.pin',
    'pin = derived members.pin',
    'pin = plain members.pin',
  ],
  [
    'SELECT (SELECT pin FROM members LIMIT 1), ARRAY(SELECT pin FROM members)',
    'pin = plain members.pin',
    'array = derived members.pin',
  ],
  ['SELECT count(*), count(pin), min(pin) FROM members', 'count = none', 'count = none', 'min = derived members.pin'],
  [
    "SELECT coalesce(pin, name), CASE WHEN pin = 'x' THEN 1 END FROM members",
    'coalesce = derived members.name members.pin',
    'case = derived members.pin',
  ],
  ['SELECT EXISTS (SELECT pin FROM members)', 'exists = none'],
  ['SELECT x FROM (SELECT pin AS x FROM members) t', 'x = plain members.pin'],
  ['SELECT lower FROM (SELECT lower(pin) FROM members) t', 'lower = derived members.pin'],
  ['WITH t AS (SELECT pin FROM members) SELECT * FROM t', 'pin = plain members.pin'],
  ['WITH t(x) AS (SELECT pin FROM members) SELECT u.x FROM t u', 'x = plain members.pin'],
  ['WITH members AS (SELECT 1 AS pin) SELECT pin FROM members', 'pin = none'],
  ["SELECT pin FROM members UNION ALL SELECT 'x'", 'pin = derived members.pin'],
  ['SELECT pin FROM members UNION ALL SELECT pin FROM members', 'pin = plain members.pin'],
  ["SELECT 'x' UNION ALL SELECT pin FROM members", '?column? = derived members.pin'],
  ['VALUES (1), ((SELECT id FROM members))', 'column1 = derived members.id'],
  [
    'WITH RECURSIVE r(a, b, c) AS (SELECT name, pin, id FROM members UNION ALL SELECT b, a, c + 1 FROM r WHERE c < 5) SELECT * FROM r',
    'a = derived members.name members.pin',
    'b = derived members.name members.pin',
    'c = derived members.id',
  ],
  [
    'SELECT * FROM members NATURAL JOIN staff.members s',
    'id = plain members.id',
    'name = plain members.name',
    'pin = plain members.pin',
    'born = plain members.born',
    'salary = plain staff.members.salary',
  ],
  [
    'SELECT * FROM loans JOIN members ON member = id',
    'book = plain loans.book',
    'member = plain loans.member',
    'due = plain loans.due',
    'id = plain members.id',
    'name = plain members.name',
    'pin = plain members.pin',
    'born = plain members.born',
  ],
  [
    'SELECT id, salary FROM members FULL JOIN staff.members s USING (id)',
    'id = derived members.id staff.members.id',
    'salary = plain staff.members.salary',
  ],
  [
    'SELECT j.a, j.f FROM (staff.members s CROSS JOIN members m) j (a, b, c, d, e, f)',
    'a = plain staff.members.id',
    'f = plain members.born',
  ],
  [
    'SELECT k.value FROM members m, jsonb_each_text(to_jsonb(m)) k',
    'value = derived members.born members.id members.name members.pin',
  ],
  ['SELECT u.x FROM members m, unnest(ARRAY[m.pin]) u(x)', 'x = derived members.pin'],
  ['SELECT l.x FROM members m, LATERAL (SELECT m.pin AS x) l', 'x = plain members.pin'],
  ["UPDATE members SET name = 'x' WHERE id = 1 RETURNING pin", 'pin = plain members.pin'],
  [
    "UPDATE members SET name = 'x' WHERE id = 1 RETURNING old.pin, new.name",
    'pin = plain members.pin',
    'name = plain members.name',
  ],
  [
    'MERGE INTO loans l USING pins p ON p.pin = l.member WHEN MATCHED THEN DELETE RETURNING *, l.due',
    'pin = plain members.pin pins.pin',
    'book = plain loans.book',
    'member = plain loans.member',
    'due = plain loans.due',
    'due = plain loans.due',
  ],
  ['DELETE FROM loans RETURNING *', 'book = plain loans.book', 'member = plain loans.member', 'due = plain loans.due'],
  [
    'INSERT INTO staff.members VALUES (1, 2) RETURNING *',
    'id = plain staff.members.id',
    'salary = plain staff.members.salary',
  ],
  ['DELETE FROM loans'],
  // Views have their own names and those of what they are made of.
  ['SELECT name FROM catalogue', 'name = plain books.title catalogue.name'],
  ['SELECT kind FROM catalogue', 'kind = plain catalogue.kind'],
  ['SELECT shelf_name FROM shown', 'shelf_name = derived books.title catalogue.name shown.shelf_name'],
  ['SELECT pin FROM pins', 'pin = plain members.pin pins.pin'],
  ["SELECT doc ->> 'pin' FROM cards", '?column? = derived cards.doc members.born members.id members.name members.pin'],
  ['SELECT day FROM visits_old', 'day = plain visits.day visits_old.day'],
  // What other statements return.
  ['COPY members (name, pin) TO STDOUT', 'name = plain members.name', 'pin = plain members.pin'],
  ['COPY (SELECT pin FROM members) TO STDOUT', 'pin = plain members.pin'],
  ['DECLARE c CURSOR FOR SELECT pin FROM members', 'pin = plain members.pin'],
  ['EXPLAIN SELECT pin FROM members', 'QUERY PLAN = none'],
  ['SHOW work_mem', 'work_mem = none'],
  ['BEGIN'],
  ['CREATE TABLE copy AS SELECT pin FROM members'],
];

for (const [text, ...expected] of OUTPUTS) {
  test(`the output of ${text}`, () => assert.deepEqual(outputs(text), expected));
}

test('columns that cannot be told are not told', () => {
  for (const text of [
    'FETCH ALL FROM c',
    'EXECUTE p',
    'CALL f()',
    'SELECT * FROM elsewhere',
    'SELECT (burn(1)).*',
    'SELECT * FROM burn(1)',
  ]) {
    assert.equal(outputs(text), undefined, text);
  }
  assert.deepEqual(outputs('SELECT burn(id) FROM members'), ['burn = unknown members.id']);
  assert.deepEqual(outputs('SELECT nowhere FROM staff.members'), [
    'nowhere = unknown staff.members.id staff.members.salary',
  ]);
  assert.equal(outputs('SELECT * FROM members', { catalogue: null, searchPath: [] }), undefined);
  assert.deepEqual(outputs('SELECT a.x FROM a, b', { catalogue: null, searchPath: [] }), ['x = plain a.x']);
  assert.deepEqual(outputs('SELECT x FROM a, b', { catalogue: null, searchPath: [] }), ['x = derived a.x b.x']);
});

const USES: readonly (readonly [string, ...string[]])[] = [
  ['SELECT pin FROM members'],
  ["SELECT name FROM members WHERE pin = '1'", 'equality members.pin'],
  ["SELECT name FROM members WHERE pin IN ('1', $1) AND born = $2", 'equality members.born', 'equality members.pin'],
  ["SELECT name FROM members WHERE pin LIKE '1%'", 'condition members.pin'],
  ["SELECT name FROM members WHERE lower(pin) = 'x'", 'condition members.pin'],
  ['SELECT name FROM members WHERE pin = name', 'join members.name', 'join members.pin'],
  ['SELECT name FROM members WHERE pin IS NULL', 'condition members.pin'],
  [
    'SELECT 1 FROM members m WHERE m::text LIKE $1',
    'condition members.born',
    'condition members.id',
    'condition members.name',
    'condition members.pin',
  ],
  ['SELECT name FROM members ORDER BY pin', 'condition members.pin'],
  ['SELECT pin::integer FROM members', 'condition members.pin'],
  ['SELECT id::numeric, id::text, born::timestamp FROM members'],
  ['SELECT id::smallint FROM members', 'condition members.id'],
  ['SELECT 1 / (id - 5), id / 5 FROM members', 'condition members.id'],
  ['SELECT unnest(coalesce(NULL, ARRAY[pin])), unnest(ARRAY[pin]) FROM members', 'condition members.pin'],
  ['SELECT 1 FROM generate_series(1, (SELECT length(pin) FROM members)) g', 'condition members.pin'],
  ['SELECT doubled(id) FROM members', 'condition members.id'],
  ['SELECT pin_of(id) FROM members', 'copy members.id', 'condition members.id'],
  ['SELECT cried(1)', 'condition members.id', 'copy members.pin'],
  ['SELECT pin AS p FROM members ORDER BY p', 'condition members.pin'],
  ['SELECT name, pin FROM members ORDER BY 2', 'condition members.pin'],
  ['SELECT count(*) FROM members GROUP BY pin', 'condition members.pin'],
  ['SELECT lower(pin) AS l, count(*) FROM members GROUP BY l', 'condition members.pin'],
  ['SELECT left(pin, 1), count(*) FROM members GROUP BY 1', 'condition members.pin'],
  [
    'SELECT 1 FROM members GROUP BY ROLLUP (pin, (name, id))',
    'condition members.id',
    'condition members.name',
    'condition members.pin',
  ],
  ["SELECT 1 FROM members GROUP BY id HAVING min(pin) > ''", 'condition members.id', 'condition members.pin'],
  ['SELECT DISTINCT pin FROM members', 'condition members.pin'],
  ['SELECT DISTINCT ON (pin) name FROM members', 'condition members.pin'],
  [
    'SELECT rank() OVER (PARTITION BY name ORDER BY pin) FROM members',
    'condition members.name',
    'condition members.pin',
  ],
  ['SELECT rank() OVER w FROM members WINDOW w AS (ORDER BY pin)', 'condition members.pin'],
  ["SELECT count(*) FILTER (WHERE pin > '') FROM members", 'condition members.pin'],
  ["SELECT string_agg(name, ',' ORDER BY pin) FROM members", 'condition members.pin'],
  ['SELECT count(DISTINCT pin) FROM members', 'condition members.pin'],
  ['SELECT 1 LIMIT (SELECT id FROM members)', 'condition members.id'],
  ['SELECT 1 OFFSET (SELECT id FROM members)', 'condition members.id'],
  [
    'SELECT 1 FROM members TABLESAMPLE bernoulli ((SELECT salary FROM staff.members))',
    'condition staff.members.salary',
  ],
  ["SELECT CASE WHEN pin = 'x' THEN 1 END FROM members", 'condition members.pin'],
  ['SELECT pin FROM members UNION SELECT name FROM members', 'condition members.name', 'condition members.pin'],
  ['SELECT pin FROM members EXCEPT ALL SELECT $1', 'condition members.pin'],
  ['SELECT pin FROM members UNION ALL SELECT name FROM members'],
  ['SELECT 1 FROM members m JOIN staff.members s ON m.id = s.id', 'join members.id', 'join staff.members.id'],
  ['SELECT 1 FROM members JOIN staff.members s USING (id)', 'join members.id', 'join staff.members.id'],
  [
    'SELECT 1 FROM (SELECT pin FROM members) a NATURAL JOIN (SELECT pin FROM pins) b',
    'join members.pin',
    'join members.pin',
    'join pins.pin',
  ],
  ['SELECT EXISTS (SELECT 1 FROM members WHERE pin = $1)', 'equality members.pin'],
  [
    'SELECT 1 FROM loans l WHERE EXISTS (SELECT FROM members m WHERE m.id = l.member)',
    'join loans.member',
    'join members.id',
  ],
  ['SELECT 1 WHERE $1 IN (SELECT pin FROM members)', 'condition members.pin'],
  ['SELECT name FROM catalogue WHERE name = $1', 'equality books.title', 'equality catalogue.name'],
  [
    "SELECT 1 FROM cards WHERE doc @> '{}'",
    ...['cards.doc', 'members.born', 'members.id', 'members.name', 'members.pin'].map((c) => `condition ${c}`),
  ],
  ['WITH t AS (SELECT pin AS x FROM members) SELECT 1 FROM t WHERE x > $1', 'condition members.pin'],
  ['PREPARE p AS SELECT name FROM members WHERE pin = $1', 'equality members.pin'],
  ['DELETE FROM history WHERE what IN (SELECT pin FROM members)', 'condition history.what', 'condition members.pin'],
  // Copies
  ['INSERT INTO history (what) SELECT pin FROM members', 'copy members.pin'],
  ['INSERT INTO history (what) VALUES ((SELECT pin FROM members))', 'copy members.pin'],
  ["INSERT INTO history (what) VALUES ('x')"],
  ['UPDATE members SET name = pin WHERE id = 1', 'copy members.pin', 'equality members.id'],
  ['UPDATE members SET pin = lower(pin) WHERE id = 1', 'equality members.id'],
  ["UPDATE members SET pin = 'x' WHERE id = 1", 'equality members.id'],
  ['UPDATE history SET what = m.pin FROM members m', 'copy members.pin'],
  ['CREATE TABLE t AS SELECT pin FROM members', 'copy members.pin'],
  ['CREATE VIEW v AS SELECT pin FROM members', 'copy members.pin'],
  ['SELECT pin INTO t FROM members', 'copy members.pin'],
  ["SELECT set_config('a.b', pin, false) FROM members", 'copy members.pin'],
  ["SELECT pg_notify('c', pin) FROM members", 'copy members.pin'],
  ["SELECT setval('s', id) FROM members", 'copy members.id'],
  ['SELECT burn(id) FROM members', 'condition members.id', 'copy members.id'],
  ["COPY members TO '/tmp/x'", 'copy members.born', 'copy members.id', 'copy members.name', 'copy members.pin'],
  ["INSERT INTO books (id, title) VALUES (1, 'x') ON CONFLICT (title) DO NOTHING", 'condition books.title'],
  [
    "INSERT INTO books (id, title) VALUES (1, 'x') ON CONFLICT DO NOTHING",
    'condition books.id',
    'condition books.title',
  ],
];

for (const [text, ...expected] of USES) {
  test(`columns used besides the output of ${text}`, () => assert.deepEqual(uses(text), expected.sort()));
}

test('what a computation cannot be followed through makes the uses unknown', () => {
  assert.equal(uses('SELECT 1 FROM members WHERE burn(id) = 1'), undefined);
  assert.equal(uses('SELECT 1 FROM members WHERE nowhere = 1'), undefined);
});

test('stars over products of products end in unknown columns, not in the process', () => {
  const layers = Array.from({ length: 24 }, (_, i) => `c${i + 1} AS (SELECT * FROM c${i} a, c${i} b)`);
  const text = `WITH c0 AS (SELECT * FROM books), ${layers.join(', ')} SELECT * FROM c24`;
  const facts = factsOf(text);
  assert.equal(facts.outputs, undefined);
  assert.ok(facts.effects.some(({ effect }) => effect === 'resource'));
});
