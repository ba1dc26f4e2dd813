/**
 * `node test/conformance/sqlsmith.ts [--seconds N] [--seed N]`: random statements of sqlsmith (Debian's package), through a
 * Sluice with the pack agents-read-only, over the schema of test/corpus/shop.sql. Exits with 1 if Sluice ends or stops
 * answering, or if a statement could not be read for a reason that is Sluice's own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { loadPostgres } from '../corpus/offline.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startSluice } from '../sluice.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});

/** Reasons for `opaque` that lie in the statement: it calls what runs text, or code that nobody can read. */
const IN_THE_STATEMENT = /^opaque(?: \S+)?: (?:runs SQL text: |function \S+ (?:in|runs SQL text)|unread function )/;

const server = await startPostgres();
const { host, port, superuser, password } = server;
await server.query('CREATE DATABASE shop');
await loadPostgres(
  { host, port, user: superuser, password, database: 'shop' },
  join(import.meta.dirname, '../corpus/shop.sql'),
);
await server.query(`ALTER ROLE app_user PASSWORD 'app_user'`);
const sluice = await startSluice({
  connections: [
    {
      name: 'shop',
      upstream: { host, port, database: 'shop', user: 'app_user', password: 'app_user' },
      default: 'deny',
    },
  ],
  users: [{ name: 'smith', password: 'smith', kind: 'agent' }],
  rulesYaml: readFileSync(join(import.meta.dirname, '../../rules/agents-read-only.yaml'), 'utf8'),
});
const access = { host: sluice.host, port: sluice.port, user: 'smith', password: 'smith', database: 'shop' };
let problems = 0;
const problem = (text: string) => {
  problems++;
  console.log(text);
};
try {
  const target = Object.entries({ ...access, dbname: access.database, database: undefined }).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${value}`],
  );
  const smith = spawn('sqlsmith', [`--target=${target.join(' ')}`, `--seed=${values.seed}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const timer = setTimeout(() => smith.kill(), Number(values.seconds) * 1000);
  const ended = await Promise.race([once(smith, 'exit').then(() => null), sluice.exited]);
  if (ended !== null) problem(`Sluice ended with ${ended}`);
  smith.kill();
  clearTimeout(timer);
  const client = new pg.Client({ ...access, connectionTimeoutMillis: 10_000, query_timeout: 10_000 });
  await client.connect().then(
    () => client.query('SELECT 1').finally(() => client.end()),
    (error: Error) => problem(`Sluice does not answer: ${error.message}`),
  );
  const counts = new Map<string, number>();
  for (const { text, kind, verdict, effects } of sluice.journal()) {
    if (typeof text !== 'string' || !Array.isArray(effects)) continue;
    counts.set(`${kind} ${verdict}`, (counts.get(`${kind} ${verdict}`) ?? 0) + 1);
    const opaque = effects.filter((one) => String(one).startsWith('opaque'));
    const unread = opaque.find((one) => !IN_THE_STATEMENT.test(String(one)));
    if (unread !== undefined) problem(`${unread}\n  ${text.replace(/\s+/g, ' ').slice(0, 500)}`);
  }
  for (const [name, count] of [...counts].sort()) console.log(`${String(count).padStart(8)}  ${name}`);
} finally {
  await sluice.stop();
  await server.stop();
}
console.log(`${problems} problems`);
process.exit(problems === 0 ? 0 : 1);
