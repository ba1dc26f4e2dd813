/** Draws docs/images/replay.svg: a session on a server of its own behind Sluice, replayed. `node docs/images/replay.ts` */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startPostgres } from '../../test/servers/postgres.ts';
import { startSluice } from '../../test/sluice.ts';

const LINE = 19;
const CHARACTER = 7.85;
const COLOURS: readonly (readonly [RegExp, string])[] = [
  [/\b(allow|SELECT \d+(?= {2}))/, '#3fb950'],
  [/\b(deny|refused|error \w+)\b/, '#f85149'],
];

const server = await startPostgres();
await server.query(`CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
  INSERT INTO customers VALUES (1, 'Ada', 'ada@example.com'), (2, 'Grace', 'grace@example.com')`);
const { host, port, database, superuser: user, password } = server;
const sluice = await startSluice({
  connections: [{ name: 'shop', upstream: { host, port, database, user, password } }],
  users: [{ name: 'reporting-agent', password: 'secret' }],
  rulesYaml: `version: 1
rules:
  - { id: reads, match: { effects: [read] }, action: allow, record: results }
  - { id: unbounded-writes, match: { effects: [delete], predicate: none }, action: deny }
masks:
  - { id: emails, columns: "*.customers.email", with: redact }
`,
});
const client = new pg.Client({
  host: sluice.host,
  port: sluice.port,
  user: 'reporting-agent',
  password: 'secret',
  database: 'shop',
  application_name: 'agent-runner',
});
await client.connect();
await client.query('SELECT id, name, email FROM customers WHERE id <= $1 ORDER BY id', [2]);
await sleep(800);
await client.query('DELETE FROM customers').catch(() => undefined);
await sleep(400);
await client.query('SELECT nam FROM customers').catch(() => undefined);
await client.end();
const program = join(import.meta.dirname, '../../src/cli/sluice.js');
const ends = () => sluice.journal().findLast(({ event }) => event === 'session.end');
while (ends() === undefined) await sleep(20);
const session = String(ends()!.session);
const shown = execFileSync(
  process.execPath,
  [program, 'sessions', 'replay', session, '--no-wait', '--journal', dirname(sluice.storeFile)],
  { encoding: 'utf8' },
);
await sluice.stop();
await server.stop();

const lines = [`$ sluice sessions replay ${session}`, ...shown.trimEnd().split('\n')];
const width = Math.ceil(Math.max(...lines.map(({ length }) => length)) * CHARACTER) + 32;
const height = lines.length * LINE + 32;
const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const coloured = (text: string) =>
  COLOURS.reduce((line, [words, colour]) => line.replace(words, `<tspan fill="${colour}">$1</tspan>`), escaped(text));
const rows = lines.map((line, n) => `<text x="16" y="${30 + n * LINE}">${coloured(line)}</text>`);
writeFileSync(
  join(import.meta.dirname, 'replay.svg'),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<title>A session replayed in the terminal</title>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" fill="#c9d1d9" xml:space="preserve">
${rows.join('\n')}
</g>
</svg>
`,
);
