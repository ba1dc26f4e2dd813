import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Effect, StatementFacts } from '../facts.ts';
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

function inWords({ effect, object, predicate, via }: Effect): string {
  const kind = object === null || object.kind === 'relation' ? '' : `${object.kind}:`;
  const schema = object?.schema == null || object.schema === 'public' ? '' : `${object.schema}.`;
  const name = object === null ? '' : ` ${kind}${schema}${object.name}`;
  return `${effect}${name}${predicate === null ? '' : ` [${predicate}]`}${via === null ? '' : ` via ${via}`}`;
}

const EFFECTS: readonly (readonly [string, ...string[]])[] = [
  // Functions
  ['SELECT lower(title), count(*), random() FROM books', 'read books [none]'],
  ['SELECT pg_catalog.lower($1)'],
  ['SELECT public.declared(1)'],
  ['SELECT burn(1)', 'call-function function:burn', 'opaque function:burn via unread function burn'],
  [
    'SELECT 1 FROM books ORDER BY burn(id)',
    'read books [none]',
    'call-function function:burn',
    'opaque function:burn via unread function burn',
  ],
  ['SELECT public."burn"(1)', 'call-function function:burn', 'opaque function:burn via unread function burn'],
  // Casts that nobody has written
  ['SELECT is_full($1)', 'call-function function:shelf_of', 'opaque function:shelf_of via unread function shelf_of'],
  [
    'SELECT place FROM shelved',
    'call-function function:count_of',
    'opaque function:count_of via unread function count_of',
    'read shelved [none]',
  ],
  ['SELECT id + 1 FROM shelved', 'read shelved [none]'],
  // Hashing of passwords
  [
    "SELECT crypt($1, gen_salt('bf')), crypt('x', gen_salt('bf', 10)), crypt('x', title) FROM books",
    'read books [none]',
  ],
  ["SELECT crypt('x', gen_salt('bf', 31))", 'resource function:gen_salt via gen_salt'],
  ["SELECT gen_salt('xdes', $1)", 'resource function:gen_salt via gen_salt'],
  ["SELECT crypt('x', '$2a$31$abc')", 'resource function:crypt via crypt'],
  ["SELECT crypt('x', '$2a$06$abc')"],
  ['SELECT crypt($1, $2)', 'resource function:crypt via crypt'],
  ['SELECT tax(price) FROM books', 'read books [none]', 'call-function function:tax'],
  [
    'SELECT nobody_knows(1)',
    'call-function function:nobody_knows',
    'opaque function:nobody_knows via unknown function nobody_knows',
  ],
  [
    'SELECT elsewhere.lower($1)',
    'call-function function:elsewhere.lower',
    'opaque function:elsewhere.lower via unknown function lower',
  ],
  ["SELECT currval('s')", 'call-function function:pg_catalog.currval'],
  [
    "SELECT PG_READ_FILE('x')",
    'call-function function:pg_catalog.pg_read_file',
    'file function:pg_read_file via reads or writes files of the server',
  ],
  [
    'SELECT b.label FROM books b',
    'read books [none]',
    'call-function function:label',
    'read members [open] via function label',
  ],
  [
    'SELECT (b).label FROM books b',
    'read books [none]',
    'call-function function:label',
    'read members [open] via function label',
  ],
  [
    'SELECT label(b) FROM books b',
    'read books [none]',
    'call-function function:label',
    'read members [open] via function label',
  ],
  // Functions of users are read
  ['SELECT pin_of(1)', 'call-function function:pin_of', 'read members [open] via function pin_of'],
  ['SELECT doubled(price), doubled(price, 3) FROM books', 'read books [none]'],
  ['SELECT * FROM everybody()', 'call-function function:everybody', 'read members [none] via function everybody'],
  [
    'SELECT cleared(1)',
    'call-function function:cleared',
    'delete staff.members [open] via function cleared',
    'read staff.members [open] via function cleared',
  ],
  ['SELECT endless()'],
  // Code in the definition of a relation runs when it is written, that of policies when it is read as well
  [
    'INSERT INTO parcels (size) VALUES (1)',
    'insert parcels',
    'call-function function:burn via default of parcels',
    'opaque function:burn via unread function burn',
    'call-function function:pin_of via default of parcels',
    'call-function function:is_word via default of parcels',
    'opaque function:is_word via unread function is_word',
    'call-function function:pg_catalog.pg_read_file via policy of parcels',
    'file function:pg_read_file via policy of parcels',
  ],
  [
    'SELECT size FROM parcels',
    'read parcels [none]',
    'call-function function:pg_catalog.pg_read_file via policy of parcels',
    'file function:pg_read_file via policy of parcels',
  ],
  [
    'INSERT INTO words (id) VALUES (1)',
    'insert words',
    'call-function function:is_word via type word',
    'opaque function:is_word via unread function is_word',
  ],
  ["UPDATE words SET feels = 'good' WHERE id = 1", 'update words [bounded]'],
  [
    'UPDATE words SET said = $1 WHERE id = 1',
    'update words [bounded]',
    'call-function function:is_word via type word',
    'opaque function:is_word via unread function is_word',
  ],
  // Operators, types
  ['SELECT 1 + 1, $1 || $2 FROM books WHERE id BETWEEN 1 AND 2', 'read books [open]'],
  ['SELECT !!! 1', 'call-function function:burn', 'opaque function:burn via unread function burn'],
  ['SELECT 1 OPERATOR(public.!!!) 1', 'call-function function:burn', 'opaque function:burn via unread function burn'],
  ['SELECT 1 <<<>>> 1', 'opaque via unknown operator <<<>>>'],
  ['SELECT 1 OPERATOR(elsewhere.+) 1', 'opaque via unknown operator elsewhere.+'],
  ['SELECT 1 OPERATOR(pg_catalog.+) 1'],
  [
    "SELECT 'x'::word",
    'call-function function:is_word via type word',
    'opaque function:is_word via unread function is_word',
  ],
  ["SELECT 'x'::mood, 1::bigint, CAST($1 AS public.mood)"],
  ['SELECT 1::elsewhere.kind', 'opaque via unknown type elsewhere.kind'],
  // Views
  ['SELECT book FROM catalogue', 'read catalogue [none]', 'read books [none] via view catalogue'],
  [
    'SELECT book FROM shown WHERE book = 1',
    'read shown [bounded]',
    'read catalogue [none] via view shown',
    'read books [none] via view shown',
  ],
  ['SELECT pin FROM pins', 'read pins [none]'],
  ['INSERT INTO catalogue (book, name) VALUES (1, $1)', 'insert catalogue', 'insert books via view catalogue'],
  ['UPDATE catalogue SET name = $1', 'update catalogue [none]', 'update books [none] via view catalogue'],
  ['INSERT INTO readers VALUES ($1, 1)', 'insert readers', 'opaque readers via write through the view readers'],
  // Triggers, rules
  ['UPDATE members SET name = $1 WHERE id = 1', 'update members [keyed]', 'insert history via trigger keep'],
  ['DELETE FROM members WHERE id = 1', 'delete members [keyed]'],
  ['INSERT INTO errands (id) VALUES (1)', 'insert errands', 'opaque via function do_obey runs SQL text'],
  ['COPY errands FROM STDIN', 'copy-in errands', 'opaque via function do_obey runs SQL text'],
  [
    'INSERT INTO bin VALUES (1)',
    'insert bin',
    'delete books [none] via trigger shred',
    'delete loans [none] via trigger shred',
    'update fines [none] via trigger shred',
  ],
  ['INSERT INTO bells VALUES (1)', 'insert bells', 'delete history [none] via rule toll'],
  ['DELETE FROM bells WHERE n = 1', 'delete bells [bounded]'],
  // Foreign keys
  [
    'DELETE FROM books WHERE id = 1',
    'delete books [keyed]',
    'delete loans [open] via foreign key',
    'update fines [open] via foreign key',
  ],
  [
    'DELETE FROM books',
    'delete books [none]',
    'delete loans [none] via foreign key',
    'update fines [none] via foreign key',
  ],
  ['UPDATE books SET price = 1 WHERE id = 1', 'update books [keyed]'],
  ['UPDATE books SET id = 2 WHERE id = 1', 'update books [keyed]', 'update loans [open] via foreign key'],
  ['TRUNCATE books', 'truncate books'],
  ['TRUNCATE books CASCADE', 'truncate books', 'truncate loans via foreign key', 'truncate fines via foreign key'],
  // The server's own relations
  [
    "UPDATE pg_settings SET setting = 'x' WHERE name = 'role'",
    'update pg_catalog.pg_settings [bounded]',
    'admin pg_catalog.pg_settings via system catalogue',
    'set-session via pg_settings',
    'set-role via pg_settings',
  ],
  [
    'DELETE FROM pg_catalog.pg_class',
    'delete pg_catalog.pg_class [none]',
    'admin pg_catalog.pg_class via system catalogue',
  ],
  // Names
  ['DROP TABLE books', 'drop books'],
  ['SELECT 1 FROM elsewhere.books', 'read elsewhere.books [none]'],
  // What costs too much
  ['SELECT pg_sleep(1)', 'resource function:pg_catalog.pg_sleep via pg_sleep'],
  ["SELECT repeat('x', 10), lpad(title, 20) FROM books", 'read books [none]'],
  ["SELECT repeat('x', 1000000000)", 'resource function:pg_catalog.repeat via repeat'],
  ["SELECT repeat('x', $1)", 'resource function:pg_catalog.repeat via repeat'],
  ["SELECT repeat('x', n) FROM (VALUES (1000000000)) v(n)", 'resource function:pg_catalog.repeat via repeat'],
  ["SELECT repeat(' ', shelf) FROM books", 'read books [none]'],
  ['SELECT * FROM generate_series(1, 100)'],
  [
    'SELECT * FROM generate_series(1, 10000000000)',
    'resource function:pg_catalog.generate_series via generate_series',
    'resource via a product of relations',
  ],
  [
    'SELECT * FROM generate_series(1, $1)',
    'resource function:pg_catalog.generate_series via generate_series',
    'resource via a product of relations',
  ],
  ["SELECT * FROM generate_series('2024-01-01'::date, now(), '1 day')"],
  [
    'SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b',
    'resource via a product of relations',
  ],
  ['SELECT 1 FROM books a, books b, books c, books d', 'read books [none]', 'resource via a product of relations'],
  [
    'SELECT 1 FROM books a, books b, books c, books d WHERE a.id = b.id AND b.id = c.id AND c.id = d.id',
    'read books [open]',
  ],
  [
    'SELECT 1 FROM (SELECT count(*) FROM books) a, (SELECT count(*) FROM books) b, (SELECT count(*) FROM books) c, (SELECT count(*) FROM books) d',
    'read books [none]',
  ],
  [
    'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r',
    'resource via unbounded recursion',
  ],
  ['WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT n FROM r'],
  [
    'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000000) SELECT n FROM r',
    'resource via unbounded recursion',
  ],
  ["SELECT 'a' ~ '(a+)+\\1b'", 'resource via a regular expression with back references'],
  ["SELECT title ~ '^a.*b$' FROM books", 'read books [none]'],
  ['SELECT 10 ^ 100000::numeric', 'resource via a large power'],
  ["SELECT format('%1000000s', 'x')", 'resource function:pg_catalog.format via format'],
];

for (const [text, ...expected] of EFFECTS) {
  test(`with the catalogue, the effects of ${text}`, () => {
    assert.deepEqual(factsOf(text).effects.map(inWords).sort(), [...expected].sort());
  });
}

test('effects name the columns they read and write', () => {
  const columns = (text: string) =>
    factsOf(text).effects.map(({ effect, columns: of }) => [effect, of && [...of].sort()]);
  assert.deepEqual(columns('SELECT title FROM books WHERE id = 1'), [['read', ['id', 'title']]]);
  assert.deepEqual(columns('SELECT count(*) FROM books'), [['read', []]]);
  assert.deepEqual(columns('SELECT * FROM books'), [['read', undefined]]);
  assert.deepEqual(columns('SELECT b FROM books b'), [['read', undefined]]);
  assert.deepEqual(columns('INSERT INTO history (what) VALUES ($1)'), [['insert', ['what']]]);
  assert.deepEqual(columns('INSERT INTO history VALUES (now(), $1)'), [['insert', ['at', 'what']]]);
  assert.deepEqual(columns('UPDATE books SET (price, shelf) = (1, 2) WHERE id = 1'), [['update', ['price', 'shelf']]]);
  assert.deepEqual(columns('SELECT a.title FROM books a JOIN books b ON a.shelf = b.id'), [
    ['read', ['id', 'shelf', 'title']],
  ]);
  assert.deepEqual(columns('COPY members (name) TO STDOUT'), [['copy-out', ['name']]]);
});

test('a relation is also what it is a partition of, and what its partitions are', () => {
  const also = (text: string) => factsOf(text).effects.map((one) => one.also?.map(({ name }) => name));
  assert.deepEqual(also('SELECT 1 FROM visits'), [['visits_old']]);
  assert.deepEqual(also('SELECT 1 FROM ONLY visits'), [undefined]);
  assert.deepEqual(also('SELECT 1 FROM visits_old'), [['visits']]);
  assert.deepEqual(also('DELETE FROM visits'), [['visits_old']]);
});

test('values of settings are facts where they are constant', () => {
  const value = (text: string) => factsOf(text).effects.map((one) => one.value);
  assert.deepEqual(value("SET statement_timeout = '5s'"), ['5s']);
  assert.deepEqual(value('SET statement_timeout = 0'), ['0']);
  assert.deepEqual(value('SET statement_timeout TO DEFAULT'), [undefined]);
  assert.deepEqual(value("SELECT set_config('work_mem', $1, false)"), [undefined]);
});

test('long texts are read with the same catalogue in the other thread', async () => {
  const rows = Array.from({ length: 2000 }, (_, i) => `(${i})`).join(', ');
  const facts = await analyzer.analyze(
    `INSERT INTO errands (id) VALUES ${rows}`,
    { standardConformingStrings: true },
    LIBRARY,
  );
  assert.deepEqual(facts.statements[0]?.effects.map(inWords), [
    'insert errands',
    'opaque via function do_obey runs SQL text',
  ]);
  const again = await analyzer.analyze(
    `DELETE FROM books WHERE id IN (${'1, '.repeat(4000)}2)`,
    { standardConformingStrings: true },
    LIBRARY,
  );
  assert.equal(again.statements[0]?.effects[0]?.predicate, 'keyed');
});

// --- Spelling never matters ------------------------------------------------------------------------------------------

/** Statements in tokens, so that what stands between them can be anything. */
const STATEMENTS = [
  'DELETE FROM books WHERE id = 1',
  'DELETE FROM books WHERE id = 1 OR true',
  "UPDATE books SET price = price * 2 WHERE shelf IN ( 1 , 2 ) AND title LIKE 'x%'",
  'SELECT m . pin , b . title FROM members m JOIN loans l ON l . member = m . id JOIN books b ON b . id = l . book WHERE m . name = $1 ORDER BY 2',
  'SELECT name , count ( * ) FROM members WHERE pin > $1 GROUP BY name HAVING count ( * ) > 1',
  'INSERT INTO history ( what ) SELECT pin FROM members WHERE id = 1 ON CONFLICT DO NOTHING RETURNING what',
  'SELECT burn ( id ) FROM books WHERE EXISTS ( SELECT 1 FROM loans WHERE book = books . id )',
  'SELECT * FROM catalogue NATURAL JOIN shown',
  'MERGE INTO books b USING ( VALUES ( 1 , 2 ) ) v ( k , p ) ON b . id = v . k WHEN MATCHED THEN UPDATE SET price = v . p',
];

const FIXED_CASE = /^['$]/;
const between = fc.constantFrom(' ', '\n', '\t ', ' /* DELETE FROM books */ ', " -- it's\n", '  /* a /* b */ */ ');

/** What a rule can see of a statement: everything but where it stands and how it is labelled. */
function verdictRelevant({
  effects,
  outputs,
  uses,
  changesLexing,
  refuses,
  kind,
  fingerprint,
}: StatementFacts): unknown {
  return {
    kind,
    fingerprint,
    changesLexing,
    refuses,
    effects: effects.map((one) => ({ ...one, columns: one.columns && [...one.columns].sort() })),
    outputs: outputs?.map(({ from, columns }) => ({ from, columns })),
    uses: uses?.map((one) => JSON.stringify(one)).sort(),
  };
}

test('white space, comments, letter case and quotes change no fact', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...STATEMENTS),
      fc.infiniteStream(between),
      fc.infiniteStream(fc.nat(3)),
      (text, gaps, styles) => {
        const written = text.split(' ').map((token) => {
          const [style] = styles.take(1);
          const [gap] = gaps.take(1);
          if (FIXED_CASE.test(token) || !/^\w+$/.test(token)) return token + gap;
          const isName = token === token.toLowerCase() && !/^\d/.test(token) && token !== 'true' && token !== 'count';
          const spelt =
            style === 0
              ? token.toUpperCase()
              : style === 1 && isName
                ? `"${token}"`
                : style === 2
                  ? token.toLowerCase()
                  : token;
          return spelt + gap;
        });
        assert.deepEqual(verdictRelevant(factsOf(written.join(''))), verdictRelevant(factsOf(text)), written.join(''));
      },
    ),
    { numRuns: 400 },
  );
});

/** Ways to say the same query; the number of relations and the proofs about writes stay. */
const WRAPPINGS: readonly ((query: string) => string)[] = [
  (query) => `(${query})`,
  (query) => `SELECT * FROM (${query}) AS wrapped`,
  (query) => `WITH wrapped AS (${query}) SELECT * FROM wrapped`,
  (query) => `WITH wrapped AS MATERIALIZED (${query}) TABLE wrapped`,
  (query) => `SELECT wrapped.* FROM (${query}) wrapped, LATERAL (SELECT 1) one`,
];

test('nesting a query in derived tables and common tables keeps what its columns are made of, and what it uses', () => {
  const queries = [
    'SELECT pin, name FROM members WHERE id = 1',
    'SELECT lower(pin) AS l, title FROM members, books WHERE shelf = members.id',
    'SELECT name AS n, count(*) AS c FROM members GROUP BY name ORDER BY 2',
    'SELECT doc FROM cards',
    "SELECT pin FROM members UNION ALL SELECT 'x'",
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...queries),
      fc.array(fc.constantFrom(...WRAPPINGS), { minLength: 1, maxLength: 4 }),
      (query, wrappings) => {
        const text = wrappings.reduce((inner, wrap) => wrap(inner), query);
        const plain = factsOf(query);
        const nested = factsOf(text);
        const without = ({ effects, outputs, uses }: StatementFacts) => ({
          effects: effects.map(({ effect, object, predicate }) => JSON.stringify([effect, object, predicate])).sort(),
          outputs: outputs?.map(({ from, columns }) => ({ from, columns })),
          uses: uses?.map((one) => JSON.stringify(one)).sort(),
        });
        assert.deepEqual(without(nested), without(plain), text);
      },
    ),
    { numRuns: 300 },
  );
});

test('parentheses, aliases and double negation of nothing change no proof', () => {
  const conditions = [
    'id = 1',
    'shelf = 1 AND id > 2',
    "title = 'x' OR true",
    'id > 1',
    'author IS NULL',
    'id IN (1, 2) OR shelf = 3',
  ];
  for (const condition of conditions) {
    const expected = factsOf(`DELETE FROM books WHERE ${condition}`).effects[0]?.predicate;
    for (const text of [
      `DELETE FROM books WHERE ((${condition}))`,
      `DELETE FROM books AS x WHERE ${condition}`,
      `DELETE FROM public.books WHERE true AND (${condition})`,
      `WITH c AS (DELETE FROM books WHERE ${condition} RETURNING 1) SELECT * FROM c`,
      `EXPLAIN ANALYZE DELETE FROM books WHERE ${condition}`,
      `PREPARE p AS DELETE FROM books WHERE ${condition}`,
      `COPY (DELETE FROM books WHERE ${condition} RETURNING 1) TO STDOUT`,
    ]) {
      const [found] = factsOf(text).effects.filter(
        ({ effect, object }) => effect === 'delete' && object?.name === 'books',
      );
      assert.equal(found?.predicate, expected, text);
    }
  }
});
