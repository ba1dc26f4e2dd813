import { readFileSync } from 'node:fs';
import pg from 'pg';
import { connect } from '../../src/catalog/service-connection.ts';
import { RuleSet } from '../../src/policy/decide.ts';
import { readRuleFiles } from '../../src/policy/load.ts';
import { judgeText, rehearsedMoment } from '../../src/rehearsal/judged-text.ts';
import {
  type Dialect,
  type SessionReading,
  StatementReader,
  usualSession,
} from '../../src/rehearsal/statement-reader.ts';
import type { CatalogueData } from '../../src/statements/catalogue.ts';
import { startMariadb } from '../servers/mariadb.ts';
import { startPostgres } from '../servers/postgres.ts';
import type { Answer, LabelledStatement } from './labelled-statement.ts';

/** Who sends the statements: the policy behind the labels is one for agents. */
export const AGENT = { subject: 'corpus', kind: 'agent', groups: [] } as const;

/** The catalogue of a throw-away PostgreSQL with this schema in it. */
export async function postgresCatalogue(schema: string, database: string): Promise<CatalogueData> {
  const server = await startPostgres();
  try {
    await server.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`);
    const { host, port, superuser: user, password } = server;
    await loadPostgres({ host, port, user, password, database }, schema);
    const service = await connect({
      protocol: 'postgres',
      host,
      port,
      database,
      user,
      password,
      tls: 'disable',
      ca: null,
    });
    try {
      return await service.readCatalogue();
    } finally {
      await service.close();
    }
  } finally {
    await server.stop();
  }
}

/** Loads a schema file into an empty database, as its superuser. */
export async function loadPostgres(access: pg.ClientConfig, schema: string): Promise<void> {
  const client = new pg.Client(access);
  await client.connect();
  try {
    await client.query(readFileSync(schema, 'utf8'));
  } finally {
    await client.end();
  }
}

/**
 * The catalogue of a throw-away MariaDB with this schema in it; `null` where there is no MariaDB. Statements of the file
 * end in a line `$$`, or without any such line in a semicolon at the end of a line. The databases that its comments create
 * are made first; the first of them is the default.
 */
export async function mysqlCatalogue(schema: string): Promise<CatalogueData | null> {
  const server = await startMariadb();
  if (server === null) return null;
  try {
    const { databases, statements } = mysqlSchema(schema);
    const [database = server.database] = databases;
    await server.query(databases.map((name) => `CREATE DATABASE ${name};`).join('') || 'DO 1');
    // One by one: bodies of triggers have semicolons in them, and only the client divides at the file's own delimiter.
    const { createConnection } = await import('mysql2/promise');
    const { host, port, superuser: user, password } = server;
    const client = await createConnection({ host, port, user, password, database });
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
    const service = await connect({
      protocol: 'mysql',
      host,
      port,
      database,
      user,
      password,
      tls: 'disable',
      ca: null,
    });
    try {
      return await service.readCatalogue();
    } finally {
      await service.close();
    }
  } finally {
    await server.stop();
  }
}

/** The databases that a schema file needs, and its statements. */
export function mysqlSchema(schema: string): { readonly databases: string[]; readonly statements: string[] } {
  const text = readFileSync(schema, 'utf8');
  const comments = text.split('\n').filter((line) => line.startsWith('--'));
  const databases = [...comments.join('\n').matchAll(/CREATE DATABASE (\w+)/g)].map(([, name]) => name!);
  const end = /^\$\$$/m.test(text) ? /^\$\$$/m : /;$/m;
  return { databases, statements: text.split(end).filter((one) => one.replace(/^--.*$/gm, '').trim() !== '') };
}

/** Judges statements without a server, each in a session of its own on a connection with `default: deny`. */
export async function judgeOffline(
  statements: readonly LabelledStatement[],
  catalogue: CatalogueData,
  ruleFiles: readonly string[],
): Promise<Map<string, Answer>> {
  const { sections, version } = readRuleFiles(ruleFiles);
  const rules = new RuleSet(sections.rules, version, sections);
  const readers = new Map<Dialect, StatementReader>();
  const readerOf = async (dialect: Dialect) => {
    const known = readers.get(dialect);
    if (known !== undefined) return known;
    const reader = await StatementReader.create(dialect, catalogue);
    readers.set(dialect, reader);
    return reader;
  };
  const answers = new Map<string, Answer>();
  try {
    for (const { id, sql, server, setup } of statements) {
      const reader = await readerOf(server === 'mysql8' ? 'mysql' : catalogue.dialect);
      const session = after(setup ?? [], usualSession(catalogue));
      const judged = await judgeText(reader, rules, sql, {
        subject: { identity: AGENT, connection: 'corpus', default: 'deny' },
        session,
        moment: rehearsedMoment(sql, Date.now(), {}, [], session),
      });
      const { action, by, masks, refusal } = judged;
      // A mask has to do with its result: that it hides every value is for a run through Sluice to show.
      const leaked = masks.length > 0 ? false : null;
      answers.set(id, { action, by, message: refusal?.message ?? '', fault: null, leaked });
    }
  } finally {
    for (const reader of readers.values()) reader.close();
  }
  return answers;
}

/** What a session is like after these statements, of which only two kinds change how it is read. */
function after(setup: readonly string[], session: SessionReading): SessionReading {
  let { database, standardConformingStrings } = session;
  for (const text of setup) {
    database = /^use\s+(\w+)$/i.exec(text)?.[1] ?? database;
    const strings = /^set\s+standard_conforming_strings\s*(?:=|to)\s*(on|off)$/i.exec(text)?.[1];
    if (strings !== undefined) standardConformingStrings = strings.toLowerCase() === 'on';
  }
  return { ...session, database, standardConformingStrings };
}
