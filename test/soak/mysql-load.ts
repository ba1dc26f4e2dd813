import { RawMysqlSession } from '../../bench/raw-mysql-session.ts';
import type { RawMysqlClient } from '../raw-mysql-client.ts';
import { startMariadb } from '../servers/mariadb.ts';
import type { Load } from './load.ts';
import { openWhatStaysOpen, SCENARIOS, SOAK_RULES, SOAK_TABLES } from './mysql-scenarios.ts';

/** A MariaDB, and all that the scenarios do to it. @throws Error if there is none on this machine */
export async function mysqlLoad(): Promise<Load<RawMysqlClient>> {
  const server = await startMariadb({ config: { local_infile: '1', max_connections: '300' } });
  if (server === null) throw new Error('there is no MariaDB on this machine');
  const { host, port, superuser: user, password, database } = server;
  await server.query(SOAK_TABLES);
  const count = async (sql: string): Promise<number> => Number((await server.query(sql))[0]?.n);
  return {
    server: `MariaDB ${server.version}`,
    connection: { name: 'soak', protocol: 'mysql', upstream: { host, port, user, password, database } },
    rules: SOAK_RULES,
    scenarios: SCENARIOS,
    programs: [],
    runPrograms: async () => [],
    openWhatStaysOpen,
    openIdle: async (login, many) => {
      const sessions: RawMysqlSession[] = [];
      for (let i = 0; i < many; i++) sessions.push(await RawMysqlSession.open(login));
      return {
        check: async () => {
          for (const session of sessions) await session.query('SELECT 1');
        },
        close: async () => {
          await Promise.all(sessions.map((session) => session.close()));
        },
      };
    },
    sessionsAtServer: () =>
      count(`SELECT COUNT(*) AS n FROM information_schema.processlist
             WHERE USER = '${user}' AND ID <> CONNECTION_ID()`),
    rowsArrived: () => count('SELECT COUNT(*) AS n FROM arrived'),
    stop: () => server.stop(),
  };
}
