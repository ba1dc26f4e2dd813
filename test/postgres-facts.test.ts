/**
 * The analysis against the server's own: what EXPLAIN (VERBOSE) says a query reads, shows and compares has to be among
 * what the facts say. The planner leaves out what it can do without, so it may say less, never more.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { Catalogue } from '../src/catalog/catalogue.ts';
import { readPostgresCatalogue } from '../src/catalog/postgres.ts';
import { loadKnownNames } from '../src/policy/known-names.ts';
import type { NameContext } from '../src/statements/catalogue.ts';
import type { ColumnName, StatementFacts } from '../src/statements/facts.ts';
import { PostgresAnalyzer } from '../src/statements/postgres/analyzer.ts';
import { readLabelled } from './corpus/labelled-statement.ts';
import { loadPostgres } from './corpus/offline.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';

const SCHEMA = `
  CREATE SCHEMA depot;
  CREATE TABLE parts (id int PRIMARY KEY, name text NOT NULL, weight numeric, maker int);
  CREATE TABLE makers (id int PRIMARY KEY, name text NOT NULL, city text);
  CREATE TABLE depot.stock (part int, place text, amount int, PRIMARY KEY (part, place));
  CREATE TABLE events (at date NOT NULL, part int, what text) PARTITION BY RANGE (at);
  CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2030-01-01');
  CREATE TABLE events_rest PARTITION OF events DEFAULT;
  CREATE TABLE tools (owner text) INHERITS (parts);
  CREATE VIEW plain_parts AS SELECT id AS number, name AS label, weight FROM parts;
  CREATE VIEW doubled AS SELECT number, weight * 2 AS twice, label || '!' AS loud FROM plain_parts;
  CREATE VIEW pairs AS SELECT p.id AS part, m.id AS maker, m.city FROM parts p, makers m;`;

let server: PostgresServer;
let client: pg.Client;
let analyzer: PostgresAnalyzer;
let names: NameContext;

before(async () => {
  server = await startPostgres();
  client = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.superuser,
    password: server.password,
    database: server.database,
    ssl: false,
  });
  await client.connect();
  await client.query(SCHEMA);
  names = { catalogue: Catalogue.of(await readPostgresCatalogue(client)), searchPath: ['public'] };
  analyzer = await PostgresAnalyzer.create({ known: loadKnownNames() });
});

after(async () => {
  analyzer?.close();
  await client?.end();
  await server?.stop();
});

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly Schema?: string;
  readonly Alias?: string;
  readonly Output?: readonly string[];
  readonly Plans?: readonly PlanNode[];
  readonly [key: string]: unknown;
}

/** Keys of a plan whose values are compared or sorted. */
const COMPARING = [
  'Filter',
  'Index Cond',
  'Recheck Cond',
  'Hash Cond',
  'Merge Cond',
  'Join Filter',
  'Sort Key',
  'Group Key',
];

interface Seen {
  readonly relations: Set<string>;
  /** `schema.relation.column` */
  readonly compared: Set<string>;
  readonly shown: readonly ReadonlySet<string>[];
}

function seenIn(plan: PlanNode, askedAs = parentOf): Seen {
  const aliases = new Map<string, string>();
  const relations = new Set<string>();
  const nodes: PlanNode[] = [];
  /** Of two relations with one alias, the columns of neither can be told. */
  const named = (alias: string, relation: string): void => {
    const other = aliases.get(alias);
    aliases.set(alias, other === undefined || (other !== '' && askedAs(other) === askedAs(relation)) ? relation : '');
  };
  const collect = (node: PlanNode): void => {
    nodes.push(node);
    if (node['Relation Name'] !== undefined) {
      const relation = `${node.Schema}.${node['Relation Name']}`;
      named(node.Alias!, relation);
      // Children are scanned as parts_1, parts_2; further up in the plan their columns are those of parts.
      const parent = node.Alias!.replace(/_\d+$/, '');
      if (parent !== node.Alias) named(parent, askedAs(relation));
    }
    for (const inner of node.Plans ?? []) collect(inner);
  };
  collect(plan);
  const columnsIn = (text: string): string[] =>
    [...text.replace(/'[^']*'/g, '').matchAll(/\b([a-z_]\w*)\.([a-z_]\w*)/g)].flatMap(([, alias, column]) => {
      const relation = aliases.get(alias!);
      return relation === undefined || relation === '' ? [] : [`${relation}.${column}`];
    });
  const compared = nodes.flatMap((node) => COMPARING.flatMap((key) => [node[key] ?? []].flat().map(String)));
  return {
    relations,
    compared: new Set(compared.flatMap(columnsIn)),
    shown: (plan.Output ?? []).map((text) => new Set(columnsIn(text))),
  };
}

/** The relations of partitions and children go by the name of the one that was asked for. */
function parentOf(name: string): string {
  if (name.startsWith('public.events')) return 'public.events';
  return name === 'public.tools' ? 'public.parts' : name;
}

function written({ schema, relation, column }: ColumnName): string {
  return `${schema}.${relation}.${column}`;
}

function inParent(column: string): string {
  const dot = column.lastIndexOf('.');
  return `${parentOf(column.slice(0, dot))}${column.slice(dot)}`;
}

/** Columns that plans named and facts had to have. */
let compared = 0;

async function compare(sql: string): Promise<void> {
  const result = await client.query(`EXPLAIN (VERBOSE, FORMAT JSON) ${sql}`);
  const seen = seenIn((result.rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan);
  const analysed = analyzer.analyze(sql, { standardConformingStrings: true }, names);
  assert.ok(!(analysed instanceof Promise));
  const facts = analysed.statements[0] as StatementFacts;
  const read = new Set(
    facts.effects.flatMap(({ object }) => (object === null ? [] : [`${object.schema}.${object.name}`])),
  );
  for (const relation of seen.relations) assert.ok(read.has(parentOf(relation)), `${relation} is not read: ${sql}`);
  assert.deepEqual(
    facts.effects.filter(({ effect }) => effect !== 'read'),
    [],
    `it only reads: ${sql}`,
  );
  assert.ok(facts.uses !== undefined && facts.outputs !== undefined, `something cannot be told: ${sql}`);
  const used = new Set(facts.uses.map(written));
  compared += seen.compared.size;
  for (const column of seen.compared) assert.ok(used.has(inParent(column)), `${column} is not used: ${sql}`);
  for (const [at, output] of facts.outputs.entries()) {
    assert.notEqual(output.from, 'unknown', `${output.name}: ${sql}`);
    const sources = new Set(output.columns.map(written));
    compared += seen.shown[at]?.size ?? 0;
    for (const column of seen.shown[at] ?? []) {
      assert.ok(sources.has(inParent(column)), `output ${at + 1} is not from ${column}: ${sql}`);
    }
  }
  const described = await client
    .query({ text: `SELECT * FROM (${sql}) described LIMIT 0`, rowMode: 'array' })
    .catch(() => null);
  if (described !== null) {
    assert.deepEqual(
      facts.outputs.map(({ name }) => name),
      described.fields.map(({ name }) => name),
      sql,
    );
  }
}

// --- Queries ----------------------------------------------------------------------------------------------------------

const TABLES: Readonly<Record<string, { readonly numbers: readonly string[]; readonly texts: readonly string[] }>> = {
  parts: { numbers: ['id', 'weight', 'maker'], texts: ['name'] },
  makers: { numbers: ['id'], texts: ['name', 'city'] },
  'depot.stock': { numbers: ['part', 'amount'], texts: ['place'] },
  events: { numbers: ['part'], texts: ['what'] },
  plain_parts: { numbers: ['number', 'weight'], texts: ['label'] },
  doubled: { numbers: ['number', 'twice'], texts: ['loud'] },
  pairs: { numbers: ['part', 'maker'], texts: ['city'] },
};

interface Item {
  readonly alias: string;
  readonly sql: string;
  readonly numbers: readonly string[];
  readonly texts: readonly string[];
}

const item = (alias: string): fc.Arbitrary<Item> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .constantFrom(...Object.keys(TABLES))
        .map((name) => ({ alias, sql: `${name} ${alias}`, ...TABLES[name]! })),
    },
    fc.constantFrom(...Object.keys(TABLES)).map((name) => {
      const { numbers, texts } = TABLES[name]!;
      return {
        alias,
        sql: `(SELECT ${numbers[0]} + 1 AS n, max(${texts[0]}) AS t FROM ${name} WHERE ${numbers[0]} > 3 GROUP BY ${numbers[0]}) ${alias}`,
        numbers: ['n'],
        texts: ['t'],
      };
    }),
    fc.constant({ alias, sql: `(VALUES (1, 'x'), (2, 'y')) ${alias} (vn, vt)`, numbers: ['vn'], texts: ['vt'] }),
  );

const query = fc
  .tuple(item('a'), item('b'), fc.constantFrom('JOIN', 'LEFT JOIN', 'FULL JOIN', 'CROSS JOIN', ',', 'none'))
  .chain(([a, b, kind]) => {
    const items = kind === 'none' ? [a] : [a, b];
    const number = fc.constantFrom(...items.flatMap((one) => one.numbers.map((name) => `${one.alias}.${name}`)));
    const words = fc.constantFrom(...items.flatMap((one) => one.texts.map((name) => `${one.alias}.${name}`)));
    const expression = fc.oneof(
      number,
      words,
      number.map((n) => `${n} * 2 + 1`),
      words.map((t) => `upper(${t})`),
      fc.tuple(words, words).map(([s, t]) => `coalesce(${s}, ${t})`),
      fc.tuple(number, words).map(([n, t]) => `CASE WHEN ${n} > 1 THEN ${t} ELSE 'no' END`),
      number.map((n) => `(SELECT max(s.amount) FROM depot.stock s WHERE s.part = ${n})`),
      fc.constant('(SELECT m.city FROM makers m WHERE m.id = 1)'),
      words.map((t) => `${t}::varchar`),
      fc.tuple(number, words).map(([n, t]) => `rank() OVER (PARTITION BY ${t} ORDER BY ${n})`),
    );
    const test = fc.oneof(
      number.map((n) => `${n} = 3`),
      number.map((n) => `${n} IN (1, 2)`),
      words.map((t) => `${t} LIKE 'x%'`),
      fc.tuple(number, number).map(([m, n]) => `${m} < ${n}`),
      number.map((n) => `EXISTS (SELECT 1 FROM depot.stock s WHERE s.part = ${n} AND s.amount > 0)`),
      number.map((n) => `${n} IN (SELECT e.part FROM events e WHERE e.what = 'sold')`),
      words.map((t) => `lower(${t}) <> 'y'`),
    );
    const join =
      kind === 'none'
        ? ''
        : kind === ',' || kind === 'CROSS JOIN'
          ? ` ${kind} ${b.sql}`
          : ` ${kind} ${b.sql} ON ${a.alias}.${a.numbers[0]} = ${b.alias}.${b.numbers[0]}`;
    return fc
      .record({
        outputs: fc.array(expression, { minLength: 1, maxLength: 4 }),
        where: fc.array(test, { maxLength: 3 }),
        glue: fc.constantFrom(' AND ', ' OR '),
        end: fc.constantFrom('', ' ORDER BY 1', ' LIMIT 5', ' ORDER BY o1 DESC LIMIT 3'),
        head: fc.constantFrom('SELECT', 'SELECT DISTINCT'),
        star: fc.boolean(),
        wrap: fc.constantFrom('none', 'derived', 'cte', 'union'),
      })
      .map(({ outputs, where, glue, end, head, star, wrap }) => {
        const list = outputs.map((one, at) => `${one} AS o${at + 1}`).join(', ');
        const condition = where.length === 0 ? '' : ` WHERE ${where.join(glue)}`;
        const core = `${head} ${list}${star && head === 'SELECT' ? ', a.*' : ''} FROM ${a.sql}${join}${condition}${end}`;
        if (wrap === 'derived') return `SELECT d.o1 AS p FROM (${core}) d WHERE d.o1 IS NOT NULL`;
        if (wrap === 'cte') return `WITH c AS (${core}) SELECT x.o1, y.name FROM c x, makers y`;
        return wrap === 'union'
          ? `(${head} ${list} FROM ${a.sql}${join}${condition}) EXCEPT (${head} ${list} FROM ${a.sql}${join}${condition})`
          : core;
      });
  });

test('facts of generated queries hold what the plan of the server says', async () => {
  await fc.assert(fc.asyncProperty(query, compare), { numRuns: 400 });
  assert.ok(compared > 1000, `only ${compared} columns were compared: the plans changed their form`);
});

for (const sql of [
  'SELECT * FROM parts NATURAL JOIN makers',
  'SELECT * FROM parts p JOIN depot.stock s ON s.part = p.id JOIN makers USING (id)',
  'SELECT id, city FROM parts LEFT JOIN makers USING (id) WHERE id = 3',
  'SELECT p FROM parts p WHERE p.name > $$a$$',
  'SELECT (p).name, p.id FROM parts p ORDER BY (p).weight',
  'SELECT to_jsonb(m) FROM makers m',
  'SELECT j.a, j.e FROM (parts CROSS JOIN makers) j (a, b, c, d, e)',
  'SELECT l.x, p.id FROM parts p, LATERAL (SELECT p.weight + amount AS x FROM depot.stock WHERE part = p.id) l',
  'SELECT name, count(*) FROM makers GROUP BY ROLLUP (name, city)',
  'SELECT e.key, e.value FROM parts p, jsonb_each_text(to_jsonb(p)) e',
  'WITH RECURSIVE up(id, maker) AS (SELECT id, maker FROM parts WHERE id = 1 UNION SELECT p.id, p.maker FROM parts p JOIN up ON p.id = up.maker) SELECT * FROM up',
  'SELECT loud, twice FROM doubled WHERE number = 4',
  'SELECT what FROM events WHERE at > now()',
  'SELECT name FROM ONLY parts UNION ALL SELECT owner FROM tools',
  "SELECT u.x FROM parts, unnest(ARRAY[name, 'x']) WITH ORDINALITY u(x, n) WHERE u.n = 1",
]) {
  test(`facts hold what the plan says of ${sql}`, () => compare(sql));
}

// --- Labelled statements ----------------------------------------------------------------------------------------------

for (const corpus of ['postgres', 'shop']) {
  test(`outputs of the labelled statements of ${corpus} are from what the plan of the server shows`, async (t) => {
    const folder = join(import.meta.dirname, 'corpus');
    const database = `labelled_${corpus}`;
    await server.query(`CREATE DATABASE ${database}`);
    const { host, port, superuser: user, password } = server;
    const access = { host, port, user, password, database, ssl: false };
    await loadPostgres(access, join(folder, `${corpus}.sql`));
    const planner = new pg.Client(access);
    await planner.connect();
    const catalogue = Catalogue.of(await readPostgresCatalogue(planner));
    const context: NameContext = { catalogue, searchPath: ['public'] };
    const familyOf = (name: string): readonly string[] => {
      const [schema = '', relation = ''] = name.split('.');
      return [name, ...(catalogue.relation(schema, relation)?.parents ?? []).map((one) => `${one.schema}.${one.name}`)];
    };
    t.after(() => planner.end());
    let outputs = 0;
    for (const { id, sql } of readLabelled(join(folder, `${corpus}.jsonl`))) {
      const analysed = await analyzer.analyze(sql, { standardConformingStrings: true }, context);
      const [facts, ...others] = analysed.statements;
      if (facts?.kind !== 'SELECT' || others.length > 0 || facts.outputs === undefined) continue;
      // What the planner could call would run: only what computes is planned.
      if (facts.effects.some(({ effect }) => effect !== 'read')) continue;
      const plan = await planner.query(`EXPLAIN (VERBOSE, FORMAT JSON) ${sql}`).catch(() => null);
      if (plan === null) continue;
      const { shown } = seenIn(
        (plan.rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan,
        (name) => familyOf(name).at(-1)!,
      );
      for (const [at, output] of facts.outputs.entries()) {
        if (output.from === 'unknown') continue;
        const sources = new Set(output.columns.map(written));
        for (const column of shown[at] ?? []) {
          // Views of the server's own are not read through, and system columns are not stored.
          if (/^pg_catalog\.|\.(tableoid|ctid|xmin)$/.test(column)) continue;
          const dot = column.lastIndexOf('.');
          const names = familyOf(column.slice(0, dot)).map((relation) => `${relation}${column.slice(dot)}`);
          assert.ok(
            names.some((name) => sources.has(name)) || /^count/.test(output.name),
            `${id}: output ${at + 1} is not from ${column}: ${sql}`,
          );
          outputs++;
        }
      }
    }
    assert.ok(outputs > (corpus === 'shop' ? 100 : 15), `only ${outputs} outputs were compared`);
  });
}
