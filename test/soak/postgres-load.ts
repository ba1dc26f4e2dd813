import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { initialise, selectOnly } from '../../bench/pgbench.ts';
import { closeSessions, openSessions } from '../../bench/raw-session.ts';
import type { RawClient } from '../raw-client.ts';
import { startPostgres } from '../servers/postgres.ts';
import { type Load, noteError, type ScenarioOutcome } from './load.ts';
import { openWhatStaysOpen, SCENARIOS, SOAK_RULES, SOAK_TABLES } from './postgres-scenarios.ts';

/** pgbench's clients; the rate keeps them from being a CPU burner. */
const PGBENCH: readonly { readonly name: string; readonly options: readonly string[] }[] = [
  { name: 'pgbench-simple', options: ['-M', 'simple', '-c', '4', '-R', '200'] },
  { name: 'pgbench-extended', options: ['-M', 'extended', '-c', '4', '-R', '200'] },
  { name: 'pgbench-prepared', options: ['-M', 'prepared', '-c', '8', '-R', '400'] },
  { name: 'pgbench-connect', options: ['-M', 'simple', '-C', '-c', '2', '-R', '5'] },
];

export async function postgresLoad(): Promise<Load<RawClient>> {
  const postgres = await startPostgres({ config: { max_connections: '300' } });
  await postgres.query(SOAK_TABLES);
  const { host, port, superuser: user, password, database, binDir } = postgres;
  const count = async (sql: string): Promise<number> => Number((await postgres.query(sql))[0]?.n);
  return {
    server: `PostgreSQL ${postgres.version}`,
    connection: { name: 'db', upstream: { host, port, user, password, database } },
    rules: SOAK_RULES,
    scenarios: SCENARIOS,
    programs: PGBENCH.map(({ name }) => name),
    runPrograms: async (sluice, userPassword, seconds, notRun) => {
      const binary = join(binDir ?? '', 'pgbench');
      if (binDir === null || !existsSync(binary)) {
        notRun.push('pgbench: it is not beside this PostgreSQL');
        return [];
      }
      await initialise({ binary, port, user, password, database }, 1);
      return Promise.all(
        PGBENCH.map(async ({ name, options }) => {
          const outcome: ScenarioOutcome = { name, turns: 0, completed: 0, errors: new Map() };
          const client = { binary, port: sluice.port, user: name, password: userPassword, database: 'db' };
          try {
            outcome.turns = (await selectOnly(client, [...options, '-T', String(seconds)])).transactions;
            outcome.completed = outcome.turns;
          } catch (error) {
            noteError(outcome, error as Error);
          }
          return outcome;
        }),
      );
    },
    openWhatStaysOpen,
    openIdle: async (login, many) => {
      const sessions = await openSessions(login, many);
      return {
        check: async () => {
          for (const session of sessions) await session.query('SELECT 1');
        },
        close: () => closeSessions(sessions),
      };
    },
    sessionsAtServer: () =>
      count(
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      ),
    rowsArrived: () => count('SELECT count(*)::int AS n FROM arrived'),
    stop: () => postgres.stop(),
  };
}
