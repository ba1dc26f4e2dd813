/**
 * No statement may keep the event loop for more than 50 ms: what is read, judged and described of the worst that is known,
 * with catalogues as large as they get. Texts that are merely long are in the tests of src/statements.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Catalogue } from '../src/catalog/catalogue.ts';
import type { ConnectionConfig } from '../src/config/config.ts';
import { type Analyzer, Judge } from '../src/gateway/judge.ts';
import { loadKnownNames, loadMysqlFunctions } from '../src/policy/known-names.ts';
import { loadRules } from '../src/policy/load.ts';
import type { CatalogueData, CatalogueLookup, CatalogueRelation } from '../src/statements/catalogue.ts';
import { MysqlAnalyzer } from '../src/statements/mysql/analyzer.ts';
import { lexingStateOf } from '../src/statements/mysql/server.ts';
import { PostgresAnalyzer } from '../src/statements/postgres/analyzer.ts';

const MOST_MS = 50;

function table(name: string, more: Partial<CatalogueRelation> & { readonly width?: number } = {}): CatalogueRelation {
  const { width = 5, ...rest } = more;
  return {
    schema: 'shop',
    name,
    kind: 'table',
    columns: Array.from({ length: width }, (_, at) => ({
      name: at === 0 ? 'id' : `c${at}`,
      type: 'integer',
      notNull: true,
      generated: null,
    })),
    keys: [['id']],
    foreignKeys: [],
    parents: [],
    definition: null,
    triggers: [],
    rules: [],
    rowSecurity: false,
    ...rest,
  };
}

function view(name: string, definition: string, width = 5): CatalogueRelation {
  return table(name, { kind: 'view', definition, keys: [], width });
}

function foreignKey(to: string, column = 'c1') {
  return {
    columns: [column],
    references: { schema: 'shop', name: to },
    referencedColumns: ['id'],
    onDelete: 'CASCADE',
    onUpdate: 'CASCADE',
  };
}

const counted = <Item>(count: number, item: (at: number) => Item): Item[] =>
  Array.from({ length: count }, (_, at) => item(at));

/** A schema with the worst of each kind. */
function schema(dialect: 'postgres' | 'mariadb'): CatalogueData {
  const all = (from: string) => {
    const columns = ['id', 'c1', 'c2', 'c3', 'c4'].map((name) => `${from}.${name}`).join(', ');
    return `SELECT ${columns} FROM shop.${from}`;
  };
  const trigger = (at: number, body: string) =>
    ({ name: `t${at}`, timing: 'after', events: ['insert', 'update', 'delete'], function: null, body }) as const;
  return {
    version: 1,
    dialect,
    serverVersion: dialect === 'postgres' ? '18.0' : '10.11.6-MariaDB',
    database: 'shop',
    foldsNames: false,
    unseen: [],
    functions: [],
    operators: [],
    casts: [],
    types: [],
    relations: [
      table('hub'),
      ...counted(20_000, (at) => table(`spoke${at}`, { foreignKeys: [foreignKey('hub')] })),
      // Each refers to the one before: one row sets off a chain.
      ...counted(2000, (at) => table(`link${at}`, { foreignKeys: at === 0 ? [] : [foreignKey(`link${at - 1}`)] })),
      // Everybody refers to everybody.
      ...counted(60, (at) => table(`mesh${at}`, { foreignKeys: counted(60, (to) => foreignKey(`mesh${to}`)) })),
      table('base'),
      ...counted(500, (at) => view(`deep${at}`, all(at === 0 ? 'base' : `deep${at - 1}`))),
      ...counted(300, (at) => view(`side${at}`, all('base'))),
      view('broad', counted(300, (at) => all(`side${at}`)).join(' UNION ALL ')),
      // Views that read each other twice: 2^30 ways.
      ...counted(30, (at) =>
        view(`twice${at}`, at === 0 ? all('base') : `${all(`twice${at - 1}`)} UNION ALL ${all(`twice${at - 1}`)}`),
      ),
      view('long', `SELECT ${counted(1600, (at) => `base.c1 + ${at} AS c${at}`).join(', ')} FROM shop.base`, 1600),
      table('wide', { width: 10_000 }),
      ...counted(60, (at) => table(`broad${at}`, { width: 1000 })),
      table('busy', {
        triggers: counted(200, (at) => trigger(at, `INSERT INTO shop.chain0 VALUES (${at}, 1, 1, 1, 1)`)),
      }),
      ...counted(100, (at) =>
        table(`chain${at}`, { triggers: [trigger(at, `UPDATE shop.chain${at + 1} SET c1 = 1 WHERE id = 1`)] }),
      ),
      table('parts', { kind: dialect === 'postgres' ? 'partitioned' : 'table' }),
      ...(dialect === 'postgres'
        ? counted(5000, (at) => table(`part${at}`, { parents: [{ schema: 'shop', name: 'parts' }] }))
        : []),
    ],
  };
}

const joined = (count: number, join: (at: number) => string) => counted(count, join).join('');

/** Statements of both dialects. */
const STATEMENTS: Readonly<Record<string, string>> = {
  'a delete that cascades into 20,000 tables': 'DELETE FROM hub WHERE id = 1',
  'an update that cascades into 20,000 tables': 'UPDATE hub SET id = 2 WHERE id = 1',
  'a chain of 2,000 foreign keys': 'DELETE FROM link0 WHERE id = 1',
  'tables that all refer to each other': 'DELETE FROM mesh0 WHERE id = 1',
  'a view 500 deep': 'SELECT * FROM deep499',
  'a view 100 deep': 'SELECT * FROM deep99',
  'a view of 300 views': 'SELECT * FROM broad',
  'a view read 2^30 ways': 'SELECT * FROM twice29',
  'views of 1,600 columns': `SELECT * FROM long a ${joined(100, (at) => `JOIN long b${at} ON a.c1 = b${at}.c1 `)}`,
  'all of 10,000 columns': 'SELECT * FROM wide',
  'all of 10,000 columns, often': `SELECT ${counted(200, () => 'w.*').join(', ')} FROM wide w`,
  'all columns of 60 broad tables': `SELECT * FROM broad0 ${joined(59, (at) => `JOIN broad${at + 1} ON broad0.id = broad${at + 1}.id `)}`,
  'the order by all of 10,000 columns': `SELECT id FROM wide ORDER BY ${counted(900, (at) => `c${at + 1}`).join(', ')}`,
  '300 natural joins': `SELECT * FROM base ${joined(300, (at) => `NATURAL JOIN base b${at} `)}`,
  '300 natural joins of broad tables': `SELECT * FROM broad0 ${joined(300, (at) => `NATURAL JOIN broad1 b${at} `)}`,
  '300 joins': `SELECT * FROM base ${joined(300, (at) => `JOIN spoke${at} ON spoke${at}.c1 = base.id `)}`,
  '400 tables, 400 conditions': `SELECT 1 FROM base ${joined(400, (at) => `, base b${at}`)} WHERE ${counted(400, (at) => `b${at}.id = ${at}`).join(' AND ')}`,
  '400 tables, conditions without names': `SELECT 1 FROM base ${joined(150, (at) => `, base b${at}`)} WHERE ${counted(400, (at) => `c1 = ${at}`).join(' OR ')}`,
  'UNION of 300 tables': counted(300, (at) => `SELECT * FROM spoke${at}`).join(' UNION '),
  'UNION of 60 broad tables': counted(60, (at) => `SELECT * FROM broad${at}`).join(' UNION '),
  'IN of 1,500 values': `SELECT * FROM base WHERE id IN (${counted(1500, (at) => at).join(', ')})`,
  'sub-selects 60 deep': `SELECT * FROM ${'(SELECT * FROM '.repeat(60)}broad0${counted(60, (at) => `) d${at}`).join('')}`,
  'WITH of 100 names of each other': `WITH a0 AS (SELECT * FROM broad0)${joined(100, (at) => `, a${at + 1} AS (SELECT * FROM a${at})`)} SELECT * FROM a100`,
  'WITH RECURSIVE over a broad table':
    'WITH RECURSIVE a AS (SELECT * FROM broad0 UNION ALL SELECT b.* FROM a JOIN broad1 b ON a.id = b.c1 LIMIT 5) SELECT * FROM a',
  'an insert that 200 triggers watch': 'INSERT INTO busy VALUES (1, 1, 1, 1, 1)',
  'triggers that set off triggers': 'UPDATE chain0 SET c1 = 1 WHERE id = 1',
  'a read of 5,000 partitions': 'SELECT * FROM parts WHERE id = 1',
  'a delete from 5,000 partitions': 'DELETE FROM parts WHERE id = 1',
  '100 reads of 5,000 partitions': `SELECT 1 ${joined(100, (at) => `, (SELECT c1 FROM parts p${at} WHERE p${at}.id = ${at})`)}`,
  'all tables by name': `SELECT 1 FROM ${counted(500, (at) => `spoke${at}`).join(', ')}`,
  'many statements': counted(250, (at) => `SELECT * FROM spoke${at}`).join('; '),
  'many deletes': counted(100, (at) => `DELETE FROM link${1900 + at} WHERE id = 1`).join('; '),
  'conditions on a broad table': `SELECT id FROM broad0 WHERE ${counted(300, (at) => `c${at + 1} = c${at + 2}`).join(' AND ')}`,
  'TRUNCATE of what 20,000 tables refer to': 'TRUNCATE TABLE hub',
  'INSERT SELECT of 10,000 columns': 'INSERT INTO wide SELECT * FROM wide',
};

const IDENTITY = { subject: 'agent-1', kind: 'agent', groups: [] } as const;
const rules = loadRules(
  ['agents-guarded-writes', 'mysql-agents', 'exfiltration', 'pii'].map((pack) =>
    join(import.meta.dirname, '../rules', `${pack}.yaml`),
  ),
);

/** The parts of a text's way that each have the event loop to themselves, in milliseconds of this thread's CPU time. */
interface Turns {
  readonly reading: number;
  readonly judging: number;
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(since);
  return (user + system) / 1000;
}

/** The same look-ups, of which nothing is remembered from before. */
function unread(catalogue: Catalogue): CatalogueLookup {
  const { version, data } = catalogue;
  return {
    version,
    data,
    relation: (of, name) => catalogue.relation(of, name),
    resolve: (name, path) => catalogue.resolve(name, path),
    descendants: (relation) => catalogue.descendants(relation),
    functionsNamed: (of, name) => catalogue.functionsNamed(of, name),
    operatorsNamed: (name) => catalogue.operatorsNamed(name),
    typesNamed: (of, name) => catalogue.typesNamed(of, name),
  };
}

for (const dialect of ['postgres', 'mariadb'] as const) {
  test(`${dialect}: no statement keeps the event loop, whatever it means`, async () => {
    const isPostgres = dialect === 'postgres';
    const postgres = await PostgresAnalyzer.create({ known: loadKnownNames(), cacheEntries: 4 });
    const version = '10.11.6-MariaDB';
    const mysql = await MysqlAnalyzer.create({
      flavour: 'mariadb',
      version,
      known: loadMysqlFunctions(),
      cacheEntries: 4,
    });
    const state = lexingStateOf('', 'shop');
    const analyzer: Analyzer = {
      analyze: (text, _lexing, names) =>
        isPostgres
          ? postgres.analyze(text, { standardConformingStrings: true }, names)
          : mysql.analyze(text, state, names.catalogue),
    };
    const connection: ConnectionConfig = {
      name: 'shop',
      protocol: isPostgres ? 'postgres' : 'mysql',
      default: 'deny',
      upstream: { host: 'localhost', port: 1, database: 'd', user: 'u', password: null, tls: 'disable', ca: null },
    };
    const catalogue = Catalogue.of(schema(dialect));
    const judge = new Judge(analyzer, IDENTITY, connection, { current: rules });

    const turnsOf = async (text: string): Promise<Turns> => {
      const reading = { lexing: state, names: { catalogue: unread(catalogue), searchPath: ['shop'] } };
      const start = process.threadCpuUsage();
      const facts = analyzer.analyze(text, state, reading.names);
      const readingMs = cpuMs(start);
      const found = await facts;
      const again = process.threadCpuUsage();
      judge.judgeFacts(text, found, reading);
      const judgingMs = cpuMs(again);
      // What was read elsewhere is judged in a turn of its own.
      return facts instanceof Promise
        ? { reading: readingMs, judging: judgingMs }
        : { reading: readingMs + judgingMs, judging: 0 };
    };

    const slow: string[] = [];
    try {
      for (const [name, text] of Object.entries(STATEMENTS)) {
        // The best of some runs: code that never ran is slow at first.
        let best = Number.POSITIVE_INFINITY;
        for (let run = 0; run < 4 && best > MOST_MS; run += 1) {
          const { reading, judging } = await turnsOf(`${text}${' '.repeat(run)}`);
          best = Math.min(best, Math.max(reading, judging));
        }
        if (best > MOST_MS) slow.push(`${name}: ${best.toFixed(1)} ms`);
      }
    } finally {
      postgres.close();
      mysql.close();
    }
    assert.deepEqual(slow, []);
  });
}
