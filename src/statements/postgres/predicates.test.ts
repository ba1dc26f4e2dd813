import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Predicate, StatementFacts } from '../facts.ts';
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

/** The widest predicate of the updates and deletes of public.books. */
function onBooks(text: string, names = LIBRARY): Predicate | undefined {
  const order: Predicate[] = ['none', 'tautology', 'open', 'bounded', 'keyed'];
  const found = factsOf(text, names)
    .effects.filter(({ effect, object }) => (effect === 'delete' || effect === 'update') && object?.name === 'books')
    .map(({ predicate }) => order.indexOf(predicate!));
  return order[Math.min(...found)];
}

/** Conditions on `books b`, in `DELETE FROM books b WHERE ...`. */
const CONDITIONS: Readonly<Record<Predicate, readonly string[]>> = {
  none: [],
  tautology: [
    'true',
    '1 = 1',
    '2 > 1',
    "'a' = 'a'",
    'not false',
    '(1 = 1) is true',
    '$1 = $1',
    '$1 is null',
    'id = id',
    'b.id = id',
    'id = 1 or true',
    'id = 1 or 2 > 1',
    'id = 1 or $1 = 1',
    'id is not null',
    "title like '%'",
    'random() >= 0',
    'exists (select 1)',
    'exists (select 1 from members)',
    'id in (select id from books)',
    'coalesce(null, true)',
    'true and 1 = 1',
    'case when true then true end',
  ],
  open: [
    'id > 0',
    'id <> 0',
    'id between 1 and 2',
    "author like 'a%'",
    'author is null',
    'author is not null',
    'not (id = 1)',
    'not id <> 1',
    'id = 1 or id > 5',
    'id = 1 or author is null',
    'id = id + 0',
    'id = shelf',
    'id = null',
    'id is not distinct from $1',
    'id is not distinct from null',
    'id = (select 1)',
    'id = (select max(id) from books)',
    'id = (select c.id from books c where c.id = b.id)',
    'id in (select member from loans)',
    'id = any (array(select id from books))',
    'id in (1, shelf)',
    'id in (1, (select 2))',
    'id not in (1, 2)',
    'id <> all (array[1, 2])',
    'id + 0 = 1',
    'id::text = $1',
    "lower(title) = 'x'",
    'coalesce(id, 1) = 1',
    'coalesce(id = 1, true)',
    'case when id = 1 then true else true end',
    '(case when id = 1 then 1 else 1 end) = 1',
    'nullif(id, 1) = 1',
    'greatest(id, 1) = 1',
    'id = random()',
    'id = burn(1)',
    'id = length(title)',
    'id = 1 + shelf',
    'title collate "C" = \'x\'',
    "ctid = '(0,1)'",
    'tableoid = 1',
    "short = 'abc'",
    'exists (select 1 from loans l where l.book = b.id and b.id = 1)',
    'exists (select 1 where id = 1)',
    '(id = 1) is not false',
    '(id = 1) is not true',
    '(id = 1) = $1',
    '(id, shelf) < (1, 2)',
    'b = row(1)',
    'id operator(public.=) 1',
    'id = all (array[1])',
  ],
  bounded: [
    "author = 'x'",
    'shelf = $1',
    'shelf in (1, 2, 3)',
    "shelf = any ('{1,2}'::int[])",
    'shelf = any ($1)',
    'shelf = any (array[1, $1])',
    'b.shelf = 1',
    'books.shelf = 1',
    '1 = shelf',
    'shelf = 1 + 2',
    'shelf = -1',
    "price = '1.5'::numeric",
    "author = upper('x')",
    'shelf = 1 and random() > 0.5',
    'shelf = 1 and id > 5',
    'shelf = 1 or shelf = 2',
    "shelf = 1 or author = 'x'",
    'shelf = 1 or id = 2',
    '(shelf, author) = (1, $1)',
    "(shelf, author) in ((1, 'a'), (2, 'b'))",
    'shelf is not distinct from 3',
    "title = 'x'",
    "title = 'x' and shelf = 1",
    'shelf = 1 and true',
  ],
  keyed: [
    'id = 1',
    'id in (1, 2)',
    'id = any ($1::int[])',
    'id = 1 and shelf = 2',
    'id = 1 and (shelf > 2 or true)',
    'id = 1 or id = 2',
    "id = 1 or (title = 'x' and author = 'y')",
    "title = 'x' and author = $1",
    "(title, author) = ('x', 'y')",
    "(author, title) in (('x', 'y'))",
    '(((id)) = ((1)))',
    'id = 1::bigint',
  ],
};

for (const [predicate, conditions] of Object.entries(CONDITIONS)) {
  for (const condition of conditions) {
    const alias = condition.includes('books.shelf') ? 'books' : 'books b';
    test(`DELETE ... WHERE ${condition} is ${predicate}, and so is UPDATE`, () => {
      assert.equal(onBooks(`DELETE FROM ${alias} WHERE ${condition}`), predicate);
      assert.equal(onBooks(`UPDATE ${alias} SET price = 1 WHERE ${condition}`), predicate);
    });
  }
}

const STATEMENTS: readonly (readonly [string, Predicate])[] = [
  ['DELETE FROM books', 'none'],
  ['UPDATE books SET price = 1', 'none'],
  ['DELETE FROM books *', 'none'],
  ['DELETE FROM ONLY books WHERE id = 1', 'keyed'],
  ['DELETE FROM library.public.books WHERE id = 1', 'keyed'],
  ['DELETE FROM public.books WHERE public.books.id = 1', 'keyed'],
  ['DELETE FROM books WHERE CURRENT OF c', 'open'],
  ['DELETE FROM books b USING members m WHERE m.id = 1', 'tautology'],
  ['DELETE FROM books b USING members m WHERE m.id = 1 AND b.shelf > 0', 'open'],
  ['DELETE FROM books b USING books c WHERE b.id = c.id AND c.id = 1', 'open'],
  ['DELETE FROM books b USING books c WHERE c.id = 1', 'tautology'],
  ['DELETE FROM books USING loans WHERE id = book', 'open'],
  ['DELETE FROM books USING loans WHERE id = 1', 'keyed'],
  ['DELETE FROM books USING members m WHERE title = $1 AND author = $2', 'keyed'],
  ['DELETE FROM books b USING members m JOIN loans l ON m.id = 1 AND l.book = 2', 'none'],
  ['UPDATE books b SET price = v.p FROM (VALUES (1, 2.5), (2, 3.5)) v(k, p) WHERE b.id = v.k', 'keyed'],
  ['UPDATE books b SET price = 1 FROM unnest($1::int[]) u(k) WHERE b.id = u.k', 'keyed'],
  ['UPDATE books b SET price = 1 FROM (SELECT 1 AS k) u WHERE b.id = u.k', 'open'],
  ['UPDATE books b SET price = 1 FROM (VALUES (1), ((SELECT 2))) v(k) WHERE b.id = v.k', 'open'],
  ['UPDATE books b SET price = 1 FROM generate_series(1, 10) g WHERE b.id = g', 'open'],
  ['WITH k AS (VALUES (1)) DELETE FROM books USING k WHERE id = k.column1', 'keyed'],
  ['WITH k AS (SELECT id FROM books) DELETE FROM books WHERE id IN (TABLE k)', 'open'],
  ['WITH d AS (DELETE FROM books) SELECT 1', 'none'],
  ['WITH books AS (SELECT 1 AS id) DELETE FROM books WHERE id = 1', 'keyed'],
  ['WITH d AS (DELETE FROM books WHERE id = 1 RETURNING *) DELETE FROM books USING d', 'none'],
  ['PREPARE p AS DELETE FROM books WHERE id > $1', 'open'],
  ['EXPLAIN ANALYZE DELETE FROM books WHERE id = 1', 'keyed'],
  ['COPY (DELETE FROM books RETURNING id) TO STDOUT', 'none'],
  ['MERGE INTO books b USING members m ON true WHEN MATCHED THEN DELETE', 'tautology'],
  ['MERGE INTO books b USING books s ON b.id = s.id WHEN MATCHED THEN UPDATE SET price = 1', 'open'],
  ['MERGE INTO books b USING (VALUES (1, 2)) v(k, p) ON b.id = v.k WHEN MATCHED THEN UPDATE SET price = v.p', 'keyed'],
  ['MERGE INTO books b USING members m ON b.shelf = m.id WHEN MATCHED AND b.id = 1 THEN DELETE', 'keyed'],
  ['MERGE INTO books b USING members m ON b.id = 1 WHEN NOT MATCHED BY SOURCE THEN DELETE', 'none'],
  ["INSERT INTO books (id, title) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET title = 'y'", 'bounded'],
  ["INSERT INTO books (id, title) SELECT id, '' FROM books ON CONFLICT (id) DO UPDATE SET title = 'y'", 'none'],
  ["INSERT INTO books SELECT * FROM books ON CONFLICT (id) DO UPDATE SET title = 'y' WHERE books.shelf > 1", 'open'],
  // Views: a column of the view is a column of the relation, or nothing is proven.
  ['DELETE FROM catalogue WHERE book = 1', 'keyed'],
  ["DELETE FROM catalogue WHERE kind = 'book'", 'open'],
  ['DELETE FROM catalogue', 'none'],
  ["DELETE FROM shorts WHERE short = 'x'", 'open'],
  ['DELETE FROM shorts WHERE id = 1', 'keyed'],
  // A function in the view's select list could make several rows of one.
  ['DELETE FROM shown WHERE book = 1', 'bounded'],
  ["DELETE FROM shown WHERE shelf_name = 'x'", 'open'],
];

for (const [statement, predicate] of STATEMENTS) {
  test(`${statement} is ${predicate}`, () => assert.equal(onBooks(statement), predicate));
}

test('without a catalogue, names that only one relation can have still prove something', () => {
  const blind = { catalogue: null, searchPath: [] };
  assert.equal(onBooks('DELETE FROM books WHERE id = 1', blind), 'bounded');
  assert.equal(onBooks('DELETE FROM books b USING loans l WHERE b.id = 1', blind), 'bounded');
  assert.equal(onBooks('DELETE FROM books b USING loans l WHERE id = 1', blind), 'open');
  assert.equal(onBooks('DELETE FROM books b USING loans l WHERE l.id = 1', blind), 'tautology');
  assert.equal(onBooks('DELETE FROM books WHERE id IN (SELECT id FROM books)', blind), 'tautology');
});

test('the same text means another relation under another search path', () => {
  const text = 'DELETE FROM members WHERE salary = 1';
  const staff = { ...LIBRARY, searchPath: ['staff', 'public'] };
  const [first] = factsOf(text, staff).effects;
  assert.deepEqual([first?.object?.schema, first?.predicate], ['staff', 'bounded']);
  // public.members has no such column: nothing is proven about it.
  const [other] = factsOf(text).effects;
  assert.deepEqual([other?.object?.schema, other?.predicate], ['public', 'open']);
});
