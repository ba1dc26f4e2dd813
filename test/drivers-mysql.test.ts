import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { declareMatrix, type Matrix } from './drivers/matrix.ts';
import { startMariadb } from './servers/mariadb.ts';
import { startMysql } from './servers/mysql.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';

const SCHEMA = readFileSync(join(import.meta.dirname, 'drivers/mysql.sql'), 'utf8');
/** LOAD DATA LOCAL, so that its refusal is Sluice's; packets beyond the 16 MB one packet of the wire can carry. */
const CONFIG = { local_infile: '1', max_allowed_packet: '64M' };

for (const [product, start] of [
  ['MariaDB', startMariadb],
  ['MySQL', startMysql],
] as const) {
  describe(`every MySQL driver of the matrix on ${product}`, () => {
    const user = 'driver';
    const password = `ünicode "quotes" ${randomBytes(6).toString('hex')}`;
    let server: MysqlFamilyServer | null = null;

    before(async () => {
      server = await start({ ssl: true, config: CONFIG });
      await server?.query(SCHEMA);
      await server?.query(
        `CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'; GRANT ALL ON ${server.database}.* TO '${user}'@'%'`,
      );
    });
    after(async () => {
      await server?.stop();
    });

    declareMatrix('mysql', (): Matrix | string => {
      if (server === null) return `there is no ${product} server on this machine`;
      const { port, database, certificates } = server;
      return {
        binDir: null,
        direct: () => ({ port, user, password, database, ca: certificates?.ca ?? '' }),
        sluice: null,
      };
    });
  });
}
