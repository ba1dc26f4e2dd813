import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogueData, CatalogueRelation } from '../catalogue.ts';
import { CatalogueIndex } from '../catalogue-index.ts';
import type { Predicate } from '../facts.ts';
import { lexingStateOf, readServer } from './server.ts';
import { analyseText } from './text-facts.ts';

const server = readServer('mysql', '8.0.36');

function relation(
  name: string,
  columns: Readonly<Record<string, string>>,
  more: Partial<CatalogueRelation> = {},
): CatalogueRelation {
  return {
    schema: 'shop',
    name,
    kind: 'table',
    columns: Object.entries(columns).map(([column, type]) => ({ name: column, type, notNull: true, generated: null })),
    keys: [],
    foreignKeys: [],
    parents: [],
    definition: null,
    triggers: [],
    rules: [],
    rowSecurity: false,
    ...more,
  };
}

const trigger = (name: string, event: 'insert' | 'update' | 'delete', body: string) =>
  ({ name, timing: 'after', events: [event], function: null, body }) as const;

const DATA: CatalogueData = {
  version: 1,
  dialect: 'mysql',
  serverVersion: '8.0.36',
  database: 'shop',
  foldsNames: false,
  unseen: [],
  relations: [
    relation(
      'customers',
      { id: 'bigint', Name: 'varchar(100)', email: 'varchar(100)', born: 'date' },
      { keys: [['id'], ['email']] },
    ),
    relation('items', { order_id: 'bigint', line: 'int', qty: 'int' }, { keys: [['order_id', 'line']] }),
    relation('audit', { what: 'text' }),
    relation('touch', { n: 'int' }, { triggers: [trigger('t1', 'insert', 'DELETE FROM audit')] }),
    relation(
      'noisy',
      { n: 'int' },
      {
        triggers: [
          trigger('t2', 'update', 'BEGIN INSERT INTO audit VALUES (NEW.n); DELETE FROM items WHERE line = 1; END'),
        ],
      },
    ),
    relation(
      'dark',
      { n: 'int' },
      { triggers: [trigger('t3', 'delete', 'BEGIN IF 1 THEN DELETE FROM audit; END IF; END')] },
    ),
    relation(
      'v',
      { id: 'bigint', label: 'varchar(100)' },
      {
        kind: 'view',
        definition:
          'select `shop`.`customers`.`id` AS `id`,`shop`.`customers`.`Name` AS `label` from `shop`.`customers`',
      },
    ),
    relation('hidden', { id: 'bigint' }, { kind: 'view', definition: null }),
  ],
  functions: [],
  operators: [],
  casts: [],
  types: [],
};
const catalogue = new CatalogueIndex(DATA, '1');

function effectsOf(text: string, known = true) {
  const context = { server, state: lexingStateOf('', 'shop'), catalogue: known ? catalogue : null };
  return analyseText(text, context).statements.flatMap(({ effects }) => effects);
}

function predicate(condition: string, known = true): Predicate | null | undefined {
  return effectsOf(`DELETE FROM customers WHERE ${condition}`, known).find(({ effect }) => effect === 'delete')
    ?.predicate;
}

test('a condition proves what it proves and no more', () => {
  const cases: readonly (readonly [Predicate, string, ...string[]])[] = [
    [
      'keyed',
      'id = 1',
      '1 = id',
      'id = 1 + 0',
      'id = ? * 2',
      'ID = 1',
      '(id) = (1)',
      'id = ?',
      'id = -1',
      'id <=> 1',
      'id IN (1, 2)',
      'customers.id = 1',
    ],
    [
      'keyed',
      "email = 'x' AND born > 1",
      "(id, Name) = (1, 'x')",
      '(id) IN ((1), (2))',
      'id = 1 OR id = 2',
      "id = 1 OR email = 'x'",
    ],
    ['keyed', 'id = 0', 'id = 1 AND (Name LIKE 1 OR TRUE)', "shop.customers.id = '5'", 'id = NULL', 'id = 0x1'],
    [
      'bounded',
      "name = 'x'",
      "name IN ('a', 'b')",
      "born = '2020-01-01' AND TRUE",
      "name = _utf8mb4'x'",
      "name = 'a' OR born = 1",
    ],
    [
      'open',
      'name = 0',
      'name = 5',
      'name = TRUE',
      "name IN ('a', 0)",
      'name = -1',
      'id > 0',
      'id <> 1',
      'NOT id = 1',
      'id NOT IN (1)',
    ],
    ['open', 'id BETWEEN 1 AND 2', "name LIKE '%'", 'id IS NOT NULL', 'id = name', 'id = @x', 'id = f(1)', 'f(id) = 1'],
    [
      'open',
      'id = (SELECT 1)',
      'id IN (SELECT 1)',
      'id = 1 = 1',
      'id <=> NULL',
      'id = 1 OR born > 1',
      'id = 1 XOR id = 2',
      'id IN (1, id)',
    ],
    [
      'open',
      'id = 1 IS TRUE',
      'id + 0 = 1',
      "name COLLATE utf8mb4_bin = 'x'",
      'CASE id WHEN 1 THEN 1 END',
      'BINARY id = 1',
      '(id, name) = (1)',
    ],
    [
      'tautology',
      '1',
      "'a'",
      'id',
      'id = id',
      'id = customers.id',
      '1 = 1',
      'TRUE',
      'id = 1 OR 1',
      'id = 1 || 1',
      'NOW()',
      '@x := 1',
    ],
    [
      'tautology',
      'RAND() < 2',
      '1 XOR 0',
      'NOT 0',
      'EXISTS (SELECT 1 FROM customers)',
      "'x' = 'x' OR id = 1",
      'IFNULL(NULL, 1)',
    ],
  ];
  for (const [expected, ...conditions] of cases) {
    for (const condition of conditions) assert.equal(predicate(condition), expected, condition);
  }
});

test('|| is what the sql_mode says', () => {
  const context = { server, state: lexingStateOf('PIPES_AS_CONCAT', 'shop'), catalogue };
  const [facts] = analyseText('DELETE FROM customers WHERE id = 1 || 1', context).statements;
  // It is 11 then, and OR everywhere else.
  assert.equal(facts!.effects[0]!.predicate, 'keyed');
});

test('all columns of a key are needed', () => {
  const of = (condition: string) => effectsOf(`DELETE FROM items WHERE ${condition}`)[0]?.predicate;
  assert.equal(of('order_id = 1 AND line = 2'), 'keyed');
  assert.equal(of('(order_id, line) IN ((1, 2), (3, 4))'), 'keyed');
  assert.equal(of('order_id = 1'), 'bounded');
  assert.equal(of('order_id = 1 AND line > 2'), 'bounded');
  assert.equal(of('order_id = 1 OR line = 2'), 'bounded');
});

test('without a catalogue a number may stand next to text, and nothing is a key', () => {
  assert.equal(predicate('id = 1', false), 'bounded');
  assert.equal(predicate('id = 0', false), 'open');
  assert.equal(predicate('id = 0.0', false), 'open');
  assert.equal(predicate('id = FALSE', false), 'open');
  assert.equal(predicate("id = '0'", false), 'bounded');
});

test('a condition is about the table it names', () => {
  const of = (text: string) => effectsOf(text).find(({ effect }) => effect === 'delete' || effect === 'update');
  assert.equal(of("DELETE i FROM items i JOIN customers c ON c.id = i.line WHERE c.name = 'x'")?.predicate, 'open');
  assert.equal(of('DELETE i FROM items i, customers c WHERE c.id = 1')?.predicate, 'tautology');
  assert.equal(of('DELETE i FROM items i JOIN customers c ON i.order_id = 1')?.predicate, 'bounded');
  assert.equal(of('DELETE i FROM items i LEFT JOIN customers c ON i.order_id = 1')?.predicate, 'none');
  // Only the catalogue knows whose column it is.
  assert.equal(of('DELETE i FROM items i, customers c WHERE order_id = 1 AND line = 2')?.predicate, 'keyed');
  assert.equal(of('UPDATE items i, customers c SET qty = 1 WHERE c.id = 1')?.predicate, 'tautology');
  assert.equal(effectsOf('DELETE i FROM items i, customers c WHERE order_id = 1', false)[0]?.predicate, 'open');
});

test('triggers run with the statement', () => {
  const words = (text: string) =>
    effectsOf(text).map(({ effect, object, via }) => `${effect} ${object?.name ?? ''} ${via ?? ''}`.trim());
  assert.deepEqual(words('INSERT INTO touch VALUES (1)'), ['insert touch', 'delete audit trigger t1']);
  assert.deepEqual(words('UPDATE noisy SET n = 1'), [
    'update noisy',
    'insert audit trigger t2',
    'delete items trigger t2',
  ]);
  assert.deepEqual(words('DELETE FROM noisy'), ['delete noisy']);
  assert.deepEqual(words('DELETE FROM dark'), ['delete dark', 'opaque  trigger t3 cannot be read']);
});

test('views are what they read', () => {
  const words = (text: string) =>
    effectsOf(text).map(({ effect, object, predicate: one, via }) =>
      `${effect} ${object?.name ?? ''} ${one ?? ''} ${via ?? ''}`.trim(),
    );
  assert.deepEqual(words('SELECT label FROM v WHERE id = 1'), ['read v bounded', 'read customers none view v']);
  assert.deepEqual(words('DELETE FROM v WHERE id = 1'), ['delete v bounded', 'delete customers bounded view v']);
  assert.deepEqual(words('SELECT 1 FROM hidden'), ['read hidden none', 'opaque   view hidden cannot be read']);
});

test('names fold where the server folds them', () => {
  const folding = new CatalogueIndex({ ...DATA, foldsNames: true }, '2');
  const context = { server, state: lexingStateOf('', 'shop'), catalogue: folding };
  const [facts] = analyseText('DELETE FROM Customers WHERE Id = 1', context).statements;
  assert.equal(facts!.effects[0]!.object?.name, 'customers');
  assert.equal(facts!.effects[0]!.predicate, 'keyed');
  assert.equal(effectsOf('DELETE FROM Customers WHERE Id = 1')[0]!.object?.name, 'Customers');
});

test('relations that the catalogue has are told from those it does not have', () => {
  const found = analyseText('SELECT * FROM items, nowhere', {
    server,
    state: lexingStateOf('', 'shop'),
    catalogue: new CatalogueIndex(DATA, '1'),
  });
  assert.deepEqual(
    found.statements[0]!.effects.map(({ object }) => object),
    [
      { kind: 'relation', schema: 'shop', name: 'items', catalogued: true },
      { kind: 'relation', schema: 'shop', name: 'nowhere' },
    ],
  );
});
