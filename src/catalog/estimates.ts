import type { Connection } from 'mysql2/promise';
import type { Client, QueryConfig } from 'pg';
import { IdleConnections } from './idle-connections.ts';
import {
  connectMysqlClient,
  connectPostgresClient,
  limitMysqlStatements,
  quotedName,
  type UpstreamAddress,
} from './service-connection.ts';

/** What the planner of the server expects of a statement. */
export interface Estimate {
  /** Rows that it returns, or changes. */
  readonly rows: number;
  /** In the server's own units; absent where it tells none. */
  readonly cost?: number;
}

/** A statement to be planned as a session would have it planned. Values are in it as literals. */
export interface EstimateQuestion {
  /** PostgreSQL: the statement. MySQL: a SELECT of the rows it is about. */
  readonly statement: string;
  /** The role the session acts as; empty for that of the connection. */
  readonly role: string;
  readonly searchPath: readonly string[];
  /** MySQL: the default database; empty for none. */
  readonly database: string;
  readonly sqlMode: string;
}

/** How long all of it may take, and how long a connection is kept that nobody asks, milliseconds. */
const MOST_MS = 1_000;
const IDLE_MS = 30_000;
/** Statements that are planned at a time, for one upstream: what comes then is not estimated. */
const MOST_AT_ONCE = 8;

/** A connection of our own that plans, and runs nothing. */
interface Planner {
  plan(question: EstimateQuestion): Promise<Estimate>;
  close(): void;
}

/**
 * Asks servers what statements would cost, by EXPLAIN, on connections of Sluice's own, in transactions that only read and within a
 * second.
 */
export class Estimates {
  readonly #idle = new IdleConnections<Planner>(IDLE_MS);
  readonly #busy = new Map<string, number>();

  /** `null` if the server cannot be asked, or does not answer in time. @param connection its name */
  async of(connection: string, upstream: UpstreamAddress, question: EstimateQuestion): Promise<Estimate | null> {
    const busy = this.#busy.get(connection) ?? 0;
    if (busy >= MOST_AT_ONCE || this.#idle.isClosed) return null;
    this.#busy.set(connection, busy + 1);
    let planner: Planner | null = null;
    let isLate = false;
    const asked = (async () => {
      planner = this.#idle.take(connection) ?? (await connect(upstream));
      if (!isLate) return planner.plan(question);
      planner.close();
      return null;
    })();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => {
        isLate = true;
        resolve(null);
      }, MOST_MS);
    });
    try {
      const estimate = await Promise.race([asked, late]);
      if (estimate !== null) this.#idle.keep(connection, planner!);
      else {
        (planner as Planner | null)?.close();
        asked.catch(() => undefined);
      }
      return estimate;
    } catch {
      (planner as Planner | null)?.close();
      return null;
    } finally {
      clearTimeout(timer);
      this.#busy.set(connection, this.#busy.get(connection)! - 1);
    }
  }

  close(): void {
    this.#idle.close();
  }
}

async function connect(upstream: UpstreamAddress): Promise<Planner> {
  if (upstream.protocol === 'postgres') {
    const client = await connectPostgresClient(upstream, 'sluice estimates', MOST_MS);
    return {
      plan: (question) => planInPostgres(client, question),
      close: () => void client.end().catch(() => undefined),
    };
  }
  const connection = await connectMysqlClient(upstream);
  await limitMysqlStatements(connection, MOST_MS);
  return { plan: (question) => planInMysql(connection, question), close: () => connection.destroy() };
}

interface PostgresPlan {
  readonly 'Node Type': string;
  readonly 'Plan Rows': number;
  readonly 'Total Cost': number;
  readonly Plans?: readonly PostgresPlan[];
}

async function planInPostgres(client: Client, { statement, role, searchPath }: EstimateQuestion): Promise<Estimate> {
  const path = searchPath.map(quotedName).join(', ');
  await client.query('BEGIN TRANSACTION READ ONLY');
  await client.query(`SET LOCAL standard_conforming_strings = on; SET LOCAL statement_timeout = ${MOST_MS};
    SET LOCAL search_path = ${path === '' ? "''" : path}${role === '' ? '' : `; SET LOCAL ROLE ${quotedName(role)}`}`);
  // In the extended protocol the server takes one statement and no more.
  const explain: QueryConfig & { queryMode: string } = {
    text: `EXPLAIN (FORMAT JSON) ${statement}`,
    queryMode: 'extended',
  };
  const { rows } = await client.query(explain);
  await client.query('ROLLBACK');
  const [{ Plan: plan }] = rows[0]!['QUERY PLAN'] as [{ Plan: PostgresPlan }];
  // A node that changes rows returns none of its own: what it is given is what it changes.
  const changes = plan['Node Type'] === 'ModifyTable' ? plan.Plans?.[0] : plan;
  return { rows: changes?.['Plan Rows'] ?? 0, cost: plan['Total Cost'] };
}

async function planInMysql(connection: Connection, question: EstimateQuestion): Promise<Estimate> {
  const { statement, database, sqlMode } = question;
  await connection.query('SET SESSION sql_mode = ?', [sqlMode]);
  if (database !== '') await connection.query('USE ??', [database]);
  await connection.query('START TRANSACTION READ ONLY');
  const [table] = await connection.query(`EXPLAIN ${statement}`);
  const [json] = await connection.query(`EXPLAIN FORMAT=JSON ${statement}`);
  await connection.query('ROLLBACK');
  const cost = costIn((json as unknown as readonly Record<string, string>[])[0]?.EXPLAIN ?? '');
  return { rows: rowsOfPlan(table as unknown as readonly MysqlStep[]), ...(cost !== null && { cost }) };
}

interface MysqlStep {
  readonly id: number | null;
  readonly rows: number | string | null;
  /** Percent of the rows that its conditions leave; MariaDB does not say. */
  readonly filtered?: number | string | null;
}

/** The rows of tables that are joined multiply. Of several queries, the one with most rows counts. */
export function rowsOfPlan(steps: readonly MysqlStep[]): number {
  const byQuery = new Map<number | null, number>();
  for (const { id, rows, filtered } of steps) {
    if (rows === null) continue;
    byQuery.set(id, (byQuery.get(id) ?? 1) * Number(rows) * (Number(filtered ?? 100) / 100));
  }
  return Math.max(0, ...byQuery.values());
}

/** The cost of the whole plan, in the words of MySQL and of MariaDB since 11.0; `null` if there is none. */
function costIn(json: string): number | null {
  const { query_block: block } = JSON.parse(json) as {
    query_block?: { cost_info?: { query_cost?: string }; cost?: number };
  };
  const cost = Number(block?.cost_info?.query_cost ?? block?.cost ?? Number.NaN);
  return Number.isFinite(cost) ? cost : null;
}
