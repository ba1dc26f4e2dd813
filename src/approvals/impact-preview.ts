import type { ReadOnlyServer, Rows } from '../catalog/read-only-connections.ts';
import { quotedName } from '../catalog/service-connection.ts';
import { hasTransactions } from '../statements/mysql/engines.ts';
import type { Impact } from './impact.ts';
import type { Question } from './request.ts';

/** Tables that a deletion reaches by foreign keys are followed so deep. */
const DEEPEST = 10;

/** What is asked about a statement. */
export interface Looked {
  readonly question: Question;
  /** Why its rows may not be counted before it is approved; `null` if they may. */
  readonly whyNotCounted: string | null;
  /** True if messages of the server may quote what the approver may not see. */
  readonly withholdsMessages: boolean;
}

/** Finds out what a statement would do, without running it. @param server acts as the statement's session does */
export async function impactOf(
  looked: Looked,
  protocol: 'postgres' | 'mysql',
  server: ReadOnlyServer,
): Promise<Impact> {
  return protocol === 'postgres' ? inPostgres(looked, server) : inMysql(looked, server);
}

/** What was asked one by one: a question that fails leaves a gap and does not keep the others from being asked. */
class Findings {
  readonly gaps: string[] = [];
  readonly #withholdsMessages: boolean;

  constructor({ whyNotCounted, withholdsMessages, question }: Looked) {
    this.#withholdsMessages = withholdsMessages;
    if (whyNotCounted !== null && question.preview.counting !== null)
      this.gaps.push(`the number of rows: ${whyNotCounted}`);
  }

  async find<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.gaps.push(`${what}: ${reasonOf(error as Error, this.#withholdsMessages)}`);
      return null;
    }
  }
}

/** What approvers are told of an error. @param isWithheld true if its message may quote values that are masked */
export function reasonOf(
  error: Error & { readonly code?: string; readonly sqlState?: string },
  isWithheld: boolean,
): string {
  if (!isWithheld) return error.message;
  const state = error.sqlState ?? error.code;
  return `the server refuses it${state === undefined ? '' : ` (${state})`}; what it says may quote masked values`;
}

async function inPostgres(looked: Looked, server: ReadOnlyServer): Promise<Impact> {
  const { preview } = looked.question;
  const found = new Findings(looked);
  const { target } = preview;
  const counting = looked.whyNotCounted === null ? preview.counting : null;
  const plan = await found.find('the plan', async () => {
    const [row] = await server.ask(`EXPLAIN (FORMAT JSON) ${preview.statement}`);
    return row!['QUERY PLAN'] as readonly { Plan: Plan }[];
  });
  const rows =
    counting === null
      ? null
      : await found.find('the number of rows', async () => Number((await server.ask(counting))[0]!.n));
  const name = target === null ? null : [target.schema, target.name].filter((part) => part !== null);
  const triggers =
    target === null
      ? null
      : await found.find('triggers', () =>
          server.ask(POSTGRES_TRIGGERS, [name!.map(quotedName).join('.'), target.change === 'delete' ? 8 : 16]),
        );
  const cascades =
    target?.change !== 'delete'
      ? null
      : await found.find('foreign keys', () =>
          server.ask(POSTGRES_CASCADES, [name!.map(quotedName).join('.'), DEEPEST]),
        );
  return {
    rows,
    estimatedRows: plan === null ? null : changedRows(plan[0]!.Plan),
    cascades: (cascades ?? []).map(({ what }) => what as string),
    triggers: (triggers ?? []).map(({ what }) => what as string),
    gaps: found.gaps,
  };
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

async function inMysql(looked: Looked, server: ReadOnlyServer): Promise<Impact> {
  const { preview, binding } = looked.question;
  const ask = (sql: string, values?: readonly unknown[]) => server.ask(sql, values);
  const found = new Findings(looked);
  const { target } = preview;
  const counting = looked.whyNotCounted === null ? preview.counting : null;
  // Not of the statement itself: a transaction that only reads refuses that.
  const plan = counting === null ? null : await found.find('the plan', () => ask(`EXPLAIN ${counting}`));
  const rows =
    counting === null ? null : await found.find('the number of rows', async () => Number((await ask(counting))[0]!.n));
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
    ...(undo !== null && { undo }),
    gaps: found.gaps,
  };
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
