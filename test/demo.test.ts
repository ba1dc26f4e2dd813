import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { startDemo } from '../src/demo/demo.ts';
import { listSessions } from '../src/recording/sessions.ts';
import { until } from './until.ts';

const SLUICE = join(import.meta.dirname, '../src/cli/sluice.js');

interface RunningDemo {
  readonly child: ChildProcess;
  output(): string;
  /** Waits until the output has the text. */
  says(text: string): Promise<void>;
}

function runDemo(): RunningDemo {
  const child = spawn(process.execPath, [SLUICE, 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return {
    child,
    output: () => output,
    async says(text) {
      for (let waited = 0; !output.includes(text); waited += 20) {
        assert.ok(waited < 60_000 && child.exitCode === null, `no "${text}" in: ${output}`);
        await delay(20);
      }
    },
  };
}

function leftovers(pid: number | undefined): string[] {
  return readdirSync(tmpdir()).filter((name) => new RegExp(`^sluice-(demo|postgres|mariadb)-${pid}-`).test(name));
}

/** Runs a statement as its own session; the rows, or the error's code. */
async function attempt(url: string, ...statements: readonly string[]): Promise<(number | string)[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const results: (number | string)[] = [];
  for (const statement of statements) {
    await client.query(statement).then(
      ({ rows, command }) => results.push(command === 'SELECT' ? rows.length : command),
      (error: pg.DatabaseError) => results.push(error.code ?? error.message),
    );
  }
  await client.end();
  return results;
}

function firstOf([url, [sql]]: readonly [string, readonly string[]]): [string, string] {
  return [url, sql!];
}

async function emails(url: string, sql: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ email: string }>(sql);
  await client.end();
  return rows.map(({ email }) => email);
}

/** The lines that are printed to be tried, as a shell runs them: MariaDB's own client comes with its server. */
async function tryMariadb(lines: readonly string[]): Promise<void> {
  const [masked, refused] = await Promise.all(
    lines.map((line) =>
      promisify(execFile)('sh', ['-c', line]).catch((error: { stdout: string; stderr: string }) => error),
    ),
  );
  assert.equal(masked!.stdout.match(/\[redacted\]$/gm)?.length, 3, masked!.stderr);
  assert.match(refused!.stderr, /ERROR 1142 .*agents-name-the-rows/);
  assert.match(refused!.stdout, /"verdict":"deny","rule":"agents-name-the-rows"/);
}

/** A statement that waits, and is approved by the lines that are printed for that. */
async function tryApproval(output: string, agentUrl: string): Promise<void> {
  const [, password] = /SLUICE_PASSWORD=(\S+)/.exec(output)!;
  const asDba = /--user dba --api \S+/.exec(output)![0].split(' ');
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [SLUICE, 'approvals', ...args, ...asDba], {
      env: { PATH: process.env.PATH, SLUICE_PASSWORD: password },
    }).then(({ stdout }) => stdout);
  const [, sql] = /-c "(DELETE FROM payments WHERE [^"]+)"/.exec(output)!;
  const client = new pg.Client({ connectionString: agentUrl });
  await client.connect();
  const waits = client.query(sql!);
  const told = once(client, 'notice');
  await told;
  assert.match(await run('list'), /^1 +pending +agent/m);
  await until(async () => /^rows +1;/m.test(await run('show', '1')), 'rows are counted');
  assert.match(await run('show', '1'), /^rows +1; if it changes more, it is rolled back/m);
  assert.equal(await run('approve', '1'), 'Request 1 is approved.\n');
  assert.equal((await waits).rowCount, 1);
  await client.end();
}

/** An agent with a credential of its own, and its end: with a program that is everywhere in the place of psql. */
async function tryAgents(output: string): Promise<void> {
  const [, password] = /SLUICE_PASSWORD=(\S+)/.exec(output)!;
  const asDba = /--user dba --api \S+/.exec(output)![0].split(' ');
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [SLUICE, ...args], {
      cwd: join(import.meta.dirname, '..'),
      env: { PATH: process.env.PATH, SLUICE_PASSWORD: password },
    }).then(({ stdout }) => stdout);
  const program =
    "import pg from 'pg'; const c = new pg.Client(); await c.connect(); console.log((await c.query('SELECT count(*)::int AS n FROM orders')).rows[0].n); await c.end();";
  const exec = ['exec', 'shop', ...asDba, '--agent', 'reporter', '--'];
  assert.equal(await run(...exec, process.execPath, '--input-type=module', '-e', program), '300\n');
  const listed = async () => /dba\/reporter +dba +active/.test(await run('agents', 'list', ...asDba));
  await until(listed, 'the agent is in the inventory');
  assert.equal(
    await run('agents', 'lock', 'dba/reporter', ...asDba, '--reason', 'odd queries'),
    'dba/reporter is locked.\n',
  );
  await assert.rejects(run(...exec, process.execPath, '--input-type=module', '-e', program), /it is locked/);
}

test('the demo does what it prints, and Ctrl-C leaves neither process nor file', async () => {
  const demo = runDemo();
  try {
    await demo.says('Ctrl-C ends the demo');
    const output = demo.output();
    const url = (user: string) => new RegExp(`postgresql://${user}:[^\\s"]+`).exec(output)![0];
    // Each line that is printed to be tried, as [url, statements].
    const lines = [...output.matchAll(/psql "([^"]+)"((?: -c "[^"]+")+)/g)].map(
      ([, target, rest]) => [target!, [...rest!.matchAll(/-c "([^"]+)"/g)].map((match) => match[1]!)] as const,
    );
    const results: (number | string)[][] = [];
    // One of them waits for a person: that is tried by itself.
    for (const [target, statements] of lines.filter(([, [sql]]) => !sql!.includes('payments WHERE')))
      results.push(await attempt(target, ...statements));
    assert.deepEqual(results, [[3], [3], ['42501'], ['BEGIN', 'UPDATE', '42501', 'ROLLBACK'], ['42501'], [3]]);
    const [forAgent, forDba] = [await emails(...firstOf(lines[0]!)), await emails(...firstOf(lines[1]!))];
    assert.deepEqual(forAgent, Array(3).fill('[redacted]'));
    assert.ok(forDba.every((email) => email.includes('@')));
    // What was refused and what was rolled back did not happen.
    assert.deepEqual(await attempt(url('dba'), "SELECT 1 FROM orders WHERE id = 1 AND status = 'paid'"), [0]);
    assert.deepEqual(await attempt(url('dba'), 'SELECT 1 FROM payments LIMIT 1'), [1]);

    const journal = /sessions list --journal (\S+)/.exec(output)![1]!;
    const { sessions, problems } = await listSessions(journal);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      sessions.map(({ identity, statements, refused }) => [identity?.subject, statements, refused]),
      [
        ['agent', 1, 0],
        ['dba', 1, 0],
        ['agent', 1, 1],
        ['agent', 4, 1],
        ['agent', 1, 1],
        ['dba', 1, 0],
        ['agent', 1, 0],
        ['dba', 1, 0],
        ['dba', 1, 0],
        ['dba', 1, 0],
      ],
    );
    const health = /http:\S+\/readyz/.exec(output)![0];
    assert.equal((await fetch(health)).status, 200);

    // Where the machine has a MariaDB it is there as well, and where not the demo says how.
    const mariadbLines = output.match(/MYSQL_PWD=\S+ mariadb .*/g);
    if (mariadbLines === null) assert.match(output, /install a MariaDB server/);
    else await tryMariadb(mariadbLines);

    await tryApproval(output, url('agent'));
    await tryAgents(output);

    // What `sluice reload` sends; a closed terminal sends it as well, and takes no line any more.
    demo.child.kill('SIGHUP');
    await demo.says('The rules were read again.');

    assert.ok(leftovers(demo.child.pid).length >= 2);
    demo.child.kill('SIGINT');
    assert.deepEqual(await once(demo.child, 'exit'), [0, null]);
    assert.deepEqual(leftovers(demo.child.pid), []);
    await assert.rejects(fetch(health));
  } finally {
    demo.child.kill('SIGKILL');
  }
});

test('Ctrl-C while the demo starts leaves nothing behind', async () => {
  const demo = runDemo();
  try {
    await demo.says('Starting PostgreSQL');
    while (leftovers(demo.child.pid).length < 2) await delay(5);
    demo.child.kill('SIGINT');
    assert.deepEqual(await once(demo.child, 'exit'), [0, null]);
    assert.deepEqual(leftovers(demo.child.pid), []);
    assert.match(demo.output(), /Ended before it had started/);
  } finally {
    demo.child.kill('SIGKILL');
  }
});

test('a demo that fails part way leaves nothing behind', async () => {
  let configFile = '';
  const failing = startDemo(async (file) => {
    configFile = file;
    throw new Error('no such luck');
  }, new AbortController().signal);
  await assert.rejects(failing, /no such luck/);
  assert.match(configFile, /sluice-demo-/);
  assert.deepEqual(leftovers(process.pid), []);
});
