import { connectMysqlClient, connectPostgresClient, type UpstreamAddress } from '../catalog/service-connection.ts';
import { hasTransactions } from '../statements/mysql/engines.ts';
import type { Impact } from './impact.ts';
import type { Question } from './request.ts';

/** How long the server may take for one question about a statement, milliseconds. */
const MOST_MS = 5_000;
/** Tables that a deletion reaches by foreign keys are followed so deep. */
const DEEPEST = 10;

const NOTHING = { rows: null, estimatedRows: null, cascades: [], triggers: [], sample: null } as const;

/**
 * Finds out what a statement would do, without running it: on a connection of Sluice's own, in a transaction that can only
 * read, acting as the session's role with its search path.
 *
 * Rejects with what the client library throws if the server cannot be reached.
 */
export async function impactOf(question: Question, upstream: UpstreamAddress): Promise<Impact> {
  if (question.preview.statement === null) {
    return { ...NOTHING, gaps: ['The statement is several, or its values cannot be shown here.'] };
  }
  return upstream.protocol === 'postgres' ? inPostgres(question, upstream) : inMysql(question, upstream);
}

/** What was asked one by one: a question that fails leaves a gap and does not keep the others from being asked. */
class Findings {
  readonly gaps: string[] = [];

  async find<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.gaps.push(`${what}: ${(error as Error).message}`);
      return null;
    }
  }
}

async function inPostgres({ preview, binding }: Question, upstream: UpstreamAddress): Promise<Impact> {
  const client = await connectPostgresClient(upstream, 'sluice preview', MOST_MS + 1_000);
  try {
    await client.query('SET standard_conforming_strings = on');
    await client.query('BEGIN TRANSACTION READ ONLY');
    await client.query(`SET LOCAL statement_timeout = ${MOST_MS}`);
    const path = binding.path.map(quotedName).join(', ');
    await client.query(`SET LOCAL search_path = ${path === '' ? "''" : path}`);
    const found = new Findings();
    if (binding.role !== '') {
      await found.find('the role', () => asPart(client, `SET LOCAL ROLE ${quotedName(binding.role)}`));
    }
    const { target, counting } = preview;
    const plan = await found.find('the plan', async () => {
      const [row] = await asPart(client, `EXPLAIN (FORMAT JSON) ${preview.statement}`);
      return row!['QUERY PLAN'] as readonly { Plan: Plan }[];
    });
    const rows =
      counting === null
        ? null
        : await found.find('the number of rows', async () => Number((await asPart(client, counting))[0]!.n));
    const name = target === null ? null : [target.schema, target.name].filter((part) => part !== null);
    const triggers =
      target === null
        ? null
        : await found.find('triggers', () =>
            asPart(client, POSTGRES_TRIGGERS, [name!.map(quotedName).join('.'), target.change === 'delete' ? 8 : 16]),
          );
    const cascades =
      target?.change !== 'delete'
        ? null
        : await found.find('foreign keys', () =>
            asPart(client, POSTGRES_CASCADES, [name!.map(quotedName).join('.'), DEEPEST]),
          );
    return {
      rows,
      estimatedRows: plan === null ? null : changedRows(plan[0]!.Plan),
      cascades: (cascades ?? []).map(({ what }) => what as string),
      triggers: (triggers ?? []).map(({ what }) => what as string),
      sample: null,
      gaps: found.gaps,
    };
  } finally {
    await client.end().catch(() => undefined);
  }
}

type Rows = readonly Record<string, unknown>[];

/** In a part of the transaction, so that an error leaves the rest. */
async function asPart(
  client: { query(sql: string, values?: readonly unknown[]): Promise<{ rows: Rows }> },
  sql: string,
  values?: readonly unknown[],
): Promise<Rows> {
  await client.query('SAVEPOINT part');
  try {
    const { rows } = await client.query(sql, values);
    return rows;
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT part');
    throw error;
  }
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Plan Rows': number;
  readonly Plans?: readonly Plan[];
}

/** A node that changes rows returns none of its own: what it is given is what it changes. */
function changedRows(plan: Plan): number {
  return plan['Node Type'] === 'ModifyTable' ? (plan.Plans?.[0]?.['Plan Rows'] ?? 0) : plan['Plan Rows'];
}

/** Triggers of the table that run for a kind of change; `tgtype` as in pg_trigger.h. */
const POSTGRES_TRIGGERS = `SELECT tgname || ' on ' || tgrelid::regclass AS what FROM pg_catalog.pg_trigger
  WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype::int & $2 <> 0 ORDER BY 1`;

/** Tables whose rows a deletion takes with it, or changes. */
const POSTGRES_CASCADES = `WITH RECURSIVE reached AS (
    SELECT conrelid, confdeltype, 1 AS depth FROM pg_catalog.pg_constraint
    WHERE confrelid = $1::regclass AND contype = 'f' AND confdeltype IN ('c', 'n', 'd')
  UNION
    SELECT c.conrelid, c.confdeltype, r.depth + 1 FROM reached r JOIN pg_catalog.pg_constraint c
      ON c.confrelid = r.conrelid AND c.contype = 'f' AND c.confdeltype IN ('c', 'n', 'd')
    WHERE r.confdeltype = 'c' AND r.depth < $2)
  SELECT DISTINCT CASE confdeltype WHEN 'c' THEN 'delete ' ELSE 'update ' END || conrelid::regclass AS what
  FROM reached ORDER BY 1`;

async function inMysql({ preview, binding }: Question, upstream: UpstreamAddress): Promise<Impact> {
  const connection = await connectMysqlClient(upstream);
  const ask = async (sql: string, values: readonly unknown[] = []): Promise<Rows> => {
    const [rows] = await connection.query({ sql, values: [...values] as string[], timeout: MOST_MS + 1_000 });
    return Array.isArray(rows) ? (rows as Rows) : [];
  };
  try {
    const found = new Findings();
    // MySQL and MariaDB each know one of the two.
    await ask(`SET SESSION max_execution_time = ${MOST_MS}`).catch(() =>
      ask(`SET SESSION max_statement_time = ${MOST_MS / 1000}`),
    );
    await ask('SET SESSION sql_mode = ?', [preview.sqlMode]);
    if (binding.database !== '') await ask('USE ??', [binding.database]);
    await ask('START TRANSACTION READ ONLY');
    const { target, counting } = preview;
    // Not of the statement itself: a transaction that only reads refuses that.
    const plan = counting === null ? null : await found.find('the plan', () => ask(`EXPLAIN ${counting}`));
    const rows =
      counting === null
        ? null
        : await found.find('the number of rows', async () => Number((await ask(counting))[0]!.n));
    const schema = target?.schema ?? binding.database;
    const where = [schema, target?.name ?? ''];
    const triggers =
      target === null
        ? null
        : await found.find('triggers', () => ask(MYSQL_TRIGGERS, [...where, target.change.toUpperCase()]));
    const cascades =
      target?.change !== 'delete' ? null : await found.find('foreign keys', () => mysqlCascades(ask, where));
    const engine =
      target === null ? null : await found.find('the engine', async () => (await ask(MYSQL_ENGINE, where))[0]?.engine);
    const undo = whyNotUndone(engine);
    const estimates = (plan ?? []).map((row) => Number(row.rows)).filter((n) => Number.isFinite(n));
    return {
      rows,
      estimatedRows: estimates.length === 0 ? null : Math.max(...estimates),
      cascades: cascades ?? [],
      triggers: (triggers ?? []).map(({ what }) => what as string),
      sample: null,
      ...(undo !== null && { undo }),
      gaps: found.gaps,
    };
  } finally {
    connection.destroy();
  }
}

/** @param engine of the table; other than text if it is none, or was not found out */
function whyNotUndone(engine: unknown): string | null {
  if (typeof engine !== 'string') return 'nobody knows whether its table has transactions';
  return hasTransactions(engine) ? null : `${engine} tables have no transactions`;
}

const MYSQL_ENGINE = 'SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?';
const MYSQL_TRIGGERS = `SELECT CONCAT(TRIGGER_NAME, ' on ', EVENT_OBJECT_TABLE) AS what FROM information_schema.TRIGGERS
  WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? AND EVENT_MANIPULATION = ? ORDER BY 1`;
const MYSQL_REFERENCES = `SELECT CONSTRAINT_SCHEMA AS s, TABLE_NAME AS t, DELETE_RULE AS rule
  FROM information_schema.REFERENTIAL_CONSTRAINTS
  WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? AND DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')`;

async function mysqlCascades(
  ask: (sql: string, values: readonly unknown[]) => Promise<Rows>,
  from: readonly string[],
): Promise<string[]> {
  const found = new Set<string>();
  let tables = [from];
  for (let depth = 0; depth < DEEPEST && tables.length > 0; depth++) {
    const next: string[][] = [];
    for (const table of tables) {
      for (const { s, t, rule } of await ask(MYSQL_REFERENCES, table)) {
        const what = `${rule === 'CASCADE' ? 'delete' : 'update'} ${s}.${t}`;
        if (found.has(what)) continue;
        found.add(what);
        if (rule === 'CASCADE') next.push([s as string, t as string]);
      }
    }
    tables = next;
  }
  return [...found].sort();
}

function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
