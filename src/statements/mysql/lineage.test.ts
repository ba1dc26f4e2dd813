import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogueData, CatalogueRelation } from '../catalogue.ts';
import { CatalogueIndex } from '../catalogue-index.ts';
import { lexingStateOf, readServer } from './server.ts';
import { analyseText } from './text-facts.ts';

function relation(name: string, columns: readonly string[], more: Partial<CatalogueRelation> = {}): CatalogueRelation {
  return {
    schema: 'shop',
    name,
    kind: 'table',
    columns: columns.map((column) => ({ name: column, type: 'varchar(9)', notNull: true, generated: null })),
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

const definition = 'select `shop`.`c`.`id` AS `id`,concat(`shop`.`c`.`ssn`) AS `s` from `shop`.`c`';
const tail = { name: 'tail', type: 'char(4)', notNull: false, generated: 'right(`ssn`,4)' };
const odd = { name: 'odd', type: 'char(4)', notNull: false, generated: 'not readable (' };

const DATA: CatalogueData = {
  version: 1,
  dialect: 'mysql',
  serverVersion: '8.0.36',
  database: 'shop',
  foldsNames: false,
  unseen: [],
  relations: [
    relation('c', ['id', 'Name', 'ssn']),
    relation('o', ['id', 'c_id', 'total']),
    relation('v', ['id', 's'], { kind: 'view', definition }),
    relation('hidden', ['id'], { kind: 'view' }),
    { ...relation('g', ['id', 'ssn']), columns: [...relation('g', ['id', 'ssn']).columns, tail] },
    { ...relation('h', ['id', 'ssn']), columns: [...relation('h', ['id', 'ssn']).columns, odd] },
  ],
  functions: [],
  operators: [],
  casts: [],
  types: [],
};

const known = new Map(
  `count concat group_concat json_table upper right values max pow exp if json_extract json_unquote json_object cast coalesce
   left sleep`
    .split(/\s+/)
    .map((name) => [name, 'pure'] as const),
);

/** `id=c.id n~c.name` (plain, derived), then after `|` the uses: `equality c.id`; `?` for what is absent. */
function inWords(text: string): string {
  const context = {
    server: readServer('mysql', '8.0.36'),
    state: lexingStateOf('', 'shop'),
    catalogue: new CatalogueIndex(DATA, '1'),
    known,
  };
  const { outputs, uses } = analyseText(text, context).statements[0]!;
  const shown = outputs?.map(({ name, from, columns }) => {
    const sources = columns.map((one) => `${one.relation}.${one.column}`).join('+');
    return `${name}${{ none: '', plain: '=', derived: '~', unknown: '?' }[from]}${sources}`;
  });
  const used = uses?.map((one) => `${one.use} ${one.relation}.${one.column}`).sort();
  return `${shown?.join(' ') ?? '?'} | ${used?.join(', ') ?? '?'}`;
}

function check(cases: readonly (readonly [string, string])[]): void {
  for (const [text, expected] of cases) assert.equal(inWords(text), expected, text);
}

test('columns of the result come from where stars, aliases, sub-selects, CTEs and views say', () => {
  check([
    ['SELECT * FROM c', 'id=c.id name=c.name ssn=c.ssn | '],
    ['SELECT x.*, total AS t, 1 FROM c x, o', 'id=c.id name=c.name ssn=c.ssn t=o.total  | '],
    ['SELECT COUNT(*), UPPER(Name) u, CONCAT(name, ssn) FROM c', ' u~c.name ~c.name+c.ssn | '],
    ['SELECT a FROM (SELECT id, ssn AS a FROM c) d', 'a=c.ssn | '],
    ['SELECT b FROM (SELECT id, ssn FROM c) d (a, b)', 'b=c.ssn | '],
    ['WITH t (a, b) AS (SELECT ssn, id FROM c) SELECT b FROM t', 'b=c.id | '],
    ['WITH c AS (SELECT 1 AS ssn) SELECT ssn FROM c', 'ssn | '],
    ['SELECT s FROM v', 's~v.s+c.ssn | '],
    ['SELECT id FROM v', 'id=v.id+c.id | '],
    ['TABLE o', 'id=o.id c_id=o.c_id total=o.total | '],
    ['TABLE o ORDER BY id LIMIT 2', 'id=o.id c_id=o.c_id total=o.total | condition o.id'],
    ['SELECT (SELECT MAX(ssn) FROM c WHERE c.id = o.c_id) FROM o', '~c.ssn | condition c.id, condition o.c_id'],
    ['SELECT ssn AS x, (SELECT x) FROM c', 'x=c.ssn ~c.ssn | '],
    ['SELECT id FROM o UNION SELECT ssn FROM c', 'id~o.id+c.ssn | condition c.ssn, condition o.id'],
    [
      'WITH RECURSIVE t AS (SELECT id, id AS n FROM o UNION ALL SELECT n, c.ssn FROM t, c) SELECT id FROM t',
      'id~o.id+c.ssn | ',
    ],
    ['SELECT id FROM o UNION ALL SELECT ssn FROM c', 'id~o.id+c.ssn | '],
    ['SELECT id FROM o UNION ALL SELECT ssn FROM c UNION SELECT 1', 'id~o.id+c.ssn | condition c.ssn, condition o.id'],
    [
      "SELECT j.* FROM c, JSON_TABLE(ssn, '$[*]' COLUMNS (a INT PATH '$.a', NESTED '$.b' COLUMNS (b INT PATH '$'))) j",
      'a~c.ssn b~c.ssn | ',
    ],
    // Columns that are one come first, in the order of the left side.
    [
      'SELECT * FROM o JOIN c USING (id)',
      'id=o.id c_id=o.c_id total=o.total name=c.name ssn=c.ssn | condition c.id, condition o.id',
    ],
    [
      'SELECT * FROM c x NATURAL LEFT JOIN o',
      'id=c.id name=c.name ssn=c.ssn c_id=o.c_id total=o.total | condition c.id, condition o.id',
    ],
    ['SELECT tail FROM g', 'tail~g.tail+g.ssn | '],
    ['SELECT odd FROM h', 'odd~h.odd+h.id+h.ssn | '],
  ]);
});

test('what decides rows, groups and order is a condition, and an equality with constants says so', () => {
  check([
    ["SELECT id FROM c WHERE ssn = '1' AND name IN (?, 'x')", 'id=c.id | equality c.name, equality c.ssn'],
    ["SELECT id FROM c WHERE ssn LIKE '1%' OR NOT name = 'x'", 'id=c.id | condition c.name, condition c.ssn'],
    ['SELECT id FROM c WHERE name = ssn', 'id=c.id | condition c.name, condition c.ssn'],
    ['SELECT COUNT(*) FROM c GROUP BY name HAVING MAX(ssn) > 1', ' | condition c.name, condition c.ssn'],
    ['SELECT ssn AS x FROM c ORDER BY x', 'x=c.ssn | condition c.ssn'],
    ['SELECT 1 FROM (SELECT ssn FROM c ORDER BY 1 LIMIT 1) d', ' | condition c.ssn'],
    ['SELECT 1 FROM (SELECT DISTINCT ssn FROM c) d', ' | condition c.ssn'],
    ['SELECT total FROM c JOIN o USING (id)', 'total=o.total | condition c.id, condition o.id'],
    ['SELECT total FROM c NATURAL JOIN o', 'total=o.total | condition c.id, condition o.id'],
    ['SELECT total FROM o WHERE EXISTS (SELECT 1 FROM c WHERE ssn = 1)', 'total=o.total | equality c.ssn'],
    ['SELECT total FROM o WHERE EXISTS (SELECT * FROM c WHERE id = 1)', 'total=o.total | equality c.id'],
    ['SELECT total FROM o WHERE EXISTS (SELECT ssn FROM c EXCEPT SELECT 1)', 'total=o.total | condition c.ssn'],
    ['SELECT COUNT(DISTINCT ssn), COUNT(name), COUNT(UPPER(name)) FROM c', '~c.ssn  ~c.name | condition c.ssn'],
    ['SELECT COUNT(*) OVER (PARTITION BY ssn) FROM c', ' | condition c.ssn'],
    ['SELECT MAX(name) OVER (ORDER BY ssn) FROM c', '~c.name | condition c.ssn'],
    ['SELECT MAX(name) OVER w FROM c WINDOW w AS (ORDER BY ssn)', '~c.name | condition c.ssn'],
    ["SELECT GROUP_CONCAT(name ORDER BY ssn SEPARATOR ',') FROM c", '~c.name | condition c.ssn'],
    ['EXPLAIN FORMAT=JSON SELECT ssn FROM c', 'EXPLAIN | condition c.ssn'],
    [
      'EXPLAIN DELETE FROM c WHERE id = 1',
      'id select_type table partitions type possible_keys key key_len ref rows filtered Extra | condition c.id',
    ],
    ["PREPARE p FROM 'SELECT ssn FROM c WHERE id = ?'", ' | equality c.id'],
  ]);
});

test('what can fail by a value, or is computed depending on one, is a condition', () => {
  check([
    ['SELECT POW(ssn, 2) FROM c', '~c.ssn | condition c.ssn'],
    ["SELECT JSON_OBJECT('s', ssn), JSON_OBJECT(name, 1) FROM c", '~c.ssn ~c.name | condition c.name'],
    ["SELECT 18446744073709551615 + (ssn LIKE '9%') FROM c", '~c.ssn | condition c.ssn'],
    ["SELECT IF(ssn LIKE '9%', EXP(1000), 0) FROM c", '~c.ssn | condition c.ssn'],
    ["SELECT CASE WHEN ssn > '5' THEN (SELECT 1 UNION ALL SELECT 2) END FROM c", '~c.ssn | condition c.ssn'],
    ["SELECT ssn LIKE '9%' AND SLEEP(5) FROM c", '~c.ssn | condition c.ssn'],
    ["SELECT IF(ssn > '5', @a := 1, 0) FROM c", '~c.ssn | condition c.ssn'],
    ["SELECT JSON_EXTRACT(CONCAT('[', ssn), '$') FROM c", '~c.ssn | condition c.ssn'],
    ['SELECT CAST(ssn AS JSON) FROM c', '~c.ssn | condition c.ssn'],
    ["SELECT UpdateXML('<a/>', ssn, 1) FROM c", '~c.ssn | condition c.ssn, copy c.ssn'],
    ['SELECT name REGEXP ssn FROM c', '~c.name+c.ssn | condition c.name, condition c.ssn'],
    ['SELECT -ssn, ssn * 1.1, ssn + id, CAST(ssn AS CHAR) FROM c', '~c.ssn ~c.ssn ~c.ssn+c.id ~c.ssn | '],
    ["SELECT JSON_EXTRACT(ssn, '$.a'), ssn->'$.b', JSON_UNQUOTE(ssn) FROM c", '~c.ssn ~c.ssn ~c.ssn | '],
    [
      "SELECT IF(ssn > '5', name, 'x'), COALESCE((SELECT ssn), '-'), CONCAT(ssn, UPPER(name)) FROM c",
      '~c.ssn+c.name ~c.ssn ~c.ssn+c.name | ',
    ],
    ["SELECT CASE WHEN ssn IS NULL THEN 'none' ELSE LEFT(ssn, 3) END FROM c", '~c.ssn | '],
  ]);
});

test('what is written elsewhere is a copy', () => {
  check([
    ['INSERT INTO o (total) SELECT ssn FROM c', ' | copy c.ssn'],
    ["INSERT INTO c (ssn) VALUES ('1') ON DUPLICATE KEY UPDATE name = CONCAT(name)", ' | condition c.ssn'],
    ["INSERT INTO c (id) VALUES ('1') ON DUPLICATE KEY UPDATE name = ssn", ' | condition c.id, copy c.ssn'],
    ['INSERT INTO c (id) VALUES (1) AS new ON DUPLICATE KEY UPDATE name = new.id', ' | condition c.id'],
    ['INSERT IGNORE INTO c (ssn) VALUES (1)', ' | condition c.ssn'],
    ['INSERT INTO c (ssn) VALUES (1)', ' | '],
    ['UPDATE c SET ssn = CONCAT(ssn, 1), name = 2 WHERE id = 1', ' | equality c.id'],
    ['UPDATE c SET name = CONCAT(name, ssn) WHERE id = 1', ' | copy c.ssn, equality c.id'],
    ['CREATE TABLE t AS SELECT ssn FROM c', ' | copy c.ssn'],
    ['SET @x = (SELECT ssn FROM c LIMIT 1)', ' | copy c.ssn'],
    ['DO (SELECT ssn FROM c)', ' | copy c.ssn'],
    ["UPDATE c SET ssn = 'x' WHERE id = 1", ' | equality c.id'],
    ['UPDATE o JOIN c ON c.id = o.c_id SET total = ssn', ' | condition c.id, condition o.c_id, copy c.ssn'],
    ['DELETE FROM c WHERE ssn > 1', ' | condition c.ssn'],
    ['SELECT ssn FROM c INTO @x', ' | copy c.ssn'],
    ['SELECT @x := ssn FROM c', '=c.ssn | copy c.ssn'],
    ['SELECT made_here(ssn) FROM c', '~c.ssn | condition c.ssn, copy c.ssn'],
  ]);
});

test('nothing is told where a name cannot be placed', () => {
  for (const text of [
    'SELECT x FROM c',
    'SELECT id FROM nowhere',
    'SELECT id FROM hidden',
    'SELECT * FROM c RIGHT JOIN o USING (id)',
    'SELECT * FROM c JOIN o JOIN g ON g.id = o.id USING (id)',
    "PREPARE p FROM 'SELECT x FROM c'",
    'SHOW TABLES WHERE (SELECT ssn FROM c)',
    'SELECT id FROM c X WHERE x.id = 1',
    'INSERT INTO o (total) SELECT ssn FROM c ON DUPLICATE KEY UPDATE total = name',
    'WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT ssn FROM c) SELECT * FROM a',
  ]) {
    assert.equal(inWords(text), '? | ?', text);
  }
});

test('a result with more columns than a server gives is not followed', () => {
  assert.equal(inWords(`SELECT ${Array(1_400).fill('c.*').join()} FROM c`), '? | ?');
});
