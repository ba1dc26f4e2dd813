import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import mysql, { type Connection } from 'mysql2/promise';
import { startMariadb } from '../../../test/servers/mariadb.ts';
import type { MysqlFamilyServer } from '../../../test/servers/mysql-family.ts';
import { MysqlAnalyzer } from './analyzer.ts';
import { lex } from './lexer.ts';
import { lexingStateOf, readServer } from './server.ts';

/**
 * What is read here is what the server does. Texts are made of the pieces that move borders (quotes, comments, dashes,
 * backslashes, semicolons) around a statement that changes a table. If the table changed, the facts must have said so.
 */

const MODES = ['', 'ANSI_QUOTES', 'NO_BACKSLASH_ESCAPES', 'ANSI', 'IGNORE_SPACE,NO_BACKSLASH_ESCAPES'];

let server: MysqlFamilyServer | null = null;
let connection: Connection;
let analyzer: MysqlAnalyzer;

before(async () => {
  server = await startMariadb();
  if (server === null) return;
  const { host, port, superuser, password, database, version } = server;
  connection = await mysql.createConnection({
    host,
    port,
    user: superuser,
    password,
    database,
    multipleStatements: true,
    charset: 'utf8mb4_general_ci',
  });
  await connection.query('CREATE TABLE touch (n INT); CREATE TABLE t (a VARCHAR(50), b INT, `c d` INT)');
  await connection.query("INSERT INTO t VALUES ('x', 1, 2), ('y', 2, 3)");
  analyzer = await MysqlAnalyzer.create({ flavour: 'mariadb', version });
});

after(async () => {
  await connection?.end();
  await server?.stop();
});

/** Runs a text; true if the server took it without an error. */
async function runs(text: string): Promise<boolean> {
  try {
    await connection.query(text);
    return true;
  } catch (error) {
    const { fatal } = error as { fatal?: boolean };
    if (fatal) throw error;
    return false;
  }
}

const WRITE = 'INSERT INTO touch VALUES (1)';
const PIECES = [
  WRITE,
  WRITE,
  'DELETE FROM t WHERE b = 99',
  'SELECT 1',
  'SELECT',
  ' 1 ',
  ' ',
  '\n',
  '\t',
  ';',
  "'",
  "''",
  '"',
  '""',
  '`',
  '``',
  '\\',
  '\\\\',
  "\\'",
  '--',
  '-- ',
  '--\n',
  '#',
  '/*',
  '*/',
  '/*!',
  '/*!50000 ',
  '/*!100000 ',
  '/*!999999 ',
  '/*!50701 ',
  '/*!1000000',
  '/*M!',
  '/*M!100100 ',
  '/*+',
  '/* x */',
  ',',
  '(',
  ')',
  '+',
  'AS a',
  'a',
  '.',
  '@a',
  "@'",
  'N',
  '_utf8mb4',
  'x',
  '0x41',
  '1e5',
  '.5',
  'é',
  '\u00a0',
  '{d ',
  '}',
] as const;

test('what changes a table of a real MariaDB is in the facts, wherever quotes and comments put it', async (t) => {
  if (server === null) return t.skip('no MariaDB on this machine');
  let accepted = 0;
  let opaque = 0;
  for (const mode of MODES) {
    await connection.query(`SET sql_mode = '${mode}'`);
    const state = lexingStateOf(mode, server.database);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 12 }), async (pieces) => {
        const text = pieces.join('');
        const { statements } = await analyzer.analyze(text, state);
        const says = statements.some(({ effects }) =>
          effects.some(
            ({ effect, object }) => effect === 'opaque' || (effect === 'insert' && object?.name === 'touch'),
          ),
        );
        const wasRun = await runs(text);
        const [rows] = await connection.query('SELECT COUNT(*) AS n FROM touch');
        const { n } = (rows as { n: number }[])[0]!;
        if (n > 0) {
          await connection.query('DELETE FROM touch');
          assert.ok(says, `changed the table under ${mode || 'no mode'}: ${JSON.stringify(text)}`);
        }
        if (wasRun) {
          accepted += 1;
          if (statements.some(({ kind }) => kind === 'OPAQUE')) opaque += 1;
        }
      }),
      { numRuns: 600 },
    );
  }
  t.diagnostic(`${accepted} accepted by the server, ${opaque} of them opaque here`);
  assert.ok(accepted > 100, 'the texts are hardly ever accepted, so nothing was compared');
});

test('string literals have the value a real MariaDB gives them in each sql_mode', async (t) => {
  if (server === null) return t.skip('no MariaDB on this machine');
  const lexed = readServer('mariadb', server.version);
  const characters = fc.constantFrom("'", '"', '\\', 'n', '0', '%', '_', 'Z', 'b', 'é', ' ', '-', '/', '*', ';', '中');
  let compared = 0;
  for (const mode of MODES) {
    await connection.query(`SET sql_mode = '${mode}'`);
    const state = lexingStateOf(mode, null);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("'", '"', "N'", "_utf8mb4'", "_binary'"),
        fc.array(characters, { maxLength: 8 }),
        async (open, inside) => {
          const literal = `${open}${inside.join('')}${open.at(-1)}`;
          const tokens = lex(`SELECT ${literal}`, lexed, state);
          const strings = tokens.outcome === 'tokens' ? tokens.tokens.filter(({ type }) => type === 'string') : [];
          const others = tokens.outcome === 'tokens' ? tokens.tokens.length - strings.length : 0;
          // One literal, or several in a row; an introducer is one more.
          if (strings.length === 0 || others > (open.startsWith('_') ? 3 : 2)) return;
          let rows: unknown;
          try {
            [rows] = await connection.query({ sql: `SELECT ${literal}`, rowsAsArray: true });
          } catch {
            return;
          }
          const value = (rows as unknown[][])[0]![0];
          const text = Buffer.isBuffer(value) ? value.toString('utf8') : value;
          assert.equal(strings.map((token) => token.value).join(''), text, literal);
          compared += 1;
        },
      ),
      { numRuns: 300 },
    );
  }
  assert.ok(compared > 300, `${compared} literals compared`);
});
