import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseScramVerifier } from '../../protocols/postgres/scram.ts';
import { Journal } from '../recording/journal.ts';
import { readRecords } from '../recording/read-records.ts';
import { segments } from '../recording/segments.ts';

const SLUICE = join(import.meta.dirname, 'sluice.js');
const VERIFIER =
  'SCRAM-SHA-256$4096:FSUpxxjyvNLmEnYaWSmmIw==$3/BXHVHqNXxv0rRPVtDtzzX+MbEcZMbQKVPtwgkxrSU=:J9KbLvGE+uvRFdFBlRJkRiJXgbM60vMYRLLnNBXNYKs=';

const directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
after(() => rmSync(directory, { recursive: true }));

/** Stands in for an upstream where only a TCP connection is asked for. */
const upstream = createServer((socket) => socket.on('error', () => {}));
before(() => once(upstream.listen(0, '127.0.0.1'), 'listening'));
after(() => upstream.close());

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function sluice(args: readonly string[], input = ''): Promise<Finished> {
  const child = spawn(process.execPath, [SLUICE, ...args], { cwd: directory });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code: code as number | null, out, err };
}

function writeConfig(name: string): string {
  const file = join(directory, name);
  const { port } = upstream.address() as AddressInfo;
  writeFileSync(
    file,
    `listen: { postgres: 127.0.0.1:0, api: 127.0.0.1:0 }
connections:
  - name: orders
    protocol: postgres
    upstream: { host: 127.0.0.1, port: ${port}, database: d, user: u, tls: disable }
    default: deny
identity: { without_tls: loopback, users: [{ name: alice, kind: human, scram: "${VERIFIER}" }] }
rules: [./${name}.rules]
recording: { directory: ./${name}.journal }
`,
  );
  writeRules(name, ['first']);
  return file;
}

function writeRules(name: string, ids: readonly string[]): void {
  const rules = ids.map((id) => `  - { id: ${id}, match: { tables: [${id}] }, action: deny }\n`).join('');
  writeFileSync(join(directory, `${name}.rules`), `version: 1\nrules:\n${rules}`);
}

test('wrong arguments, an unknown command and an unknown option end with 2 and say so on standard error', async () => {
  for (const args of [['nope'], ['serve', '--nope'], ['sessions', 'list', '--since', 'soon'], ['rules', 'check']]) {
    const { code, out, err } = await sluice(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(out, '');
    assert.match(err, /^error: /);
  }
  assert.equal((await sluice(['--help'])).code, 0);
});

test('users hash prints a verifier of the password on standard input, and refuses an empty one', async () => {
  const { code, out } = await sluice(['users', 'hash'], 'correct horse\n');
  assert.equal(code, 0);
  assert.equal(parseScramVerifier(out.trimEnd()).iterations, 4096);
  assert.deepEqual(await sluice(['users', 'hash'], '\n'), { code: 1, out: '', err: 'An empty password is refused.\n' });
  assert.equal((await sluice(['users', 'hash'], 'two\nlines\n')).code, 1);
});

test('config check lists every problem and ends with 2, or ends with 0', async () => {
  const file = writeConfig('checked.yaml');
  assert.deepEqual(await sluice(['config', 'check', '-c', file]), { code: 0, out: `${file} is fine.\n`, err: '' });
  writeFileSync(join(directory, 'bad.yaml'), 'lisen: {}\n');
  const bad = await sluice(['config', 'check', '-c', 'bad.yaml']);
  assert.equal(bad.code, 2);
  assert.match(bad.err, /bad\.yaml:1:1: unknown key "lisen"\. Did you mean "listen"\?\n/);
  const json = await sluice(['config', 'check', '-c', 'bad.yaml', '--json']);
  assert.equal(json.code, 2);
  assert.equal(JSON.parse(json.out).ok, false);
});

test('rules check takes files as one set', async () => {
  writeRules('a', ['one', 'two']);
  writeRules('b', ['two']);
  const fine = await sluice(['rules', 'check', 'a.rules', '--json']);
  assert.equal(fine.code, 0);
  assert.deepEqual(JSON.parse(fine.out).rules, ['one', 'two']);
  const twice = await sluice(['rules', 'check', 'a.rules', 'b.rules']);
  assert.equal(twice.code, 2);
  assert.match(twice.err, /^b\.rules:3:\d+: rule id "two" is there already, at a\.rules:4:\d+\n$/);
});

test('rules check takes test files for what they are', async () => {
  writeRules('pair.yaml', ['one']);
  const test = (expect: string) =>
    writeFileSync(
      join(directory, 'pair.test.yaml'),
      `given: { identity: { subject: a, kind: agent }, connection: c, default: allow }
rules: [pair.yaml.rules]
cases: [{ sql: SELECT 1, expect: ${expect} }]
`,
    );
  test('allow');
  const fine = await sluice(['rules', 'check', 'pair.yaml.rules', 'pair.test.yaml']);
  assert.deepEqual([fine.code, fine.err], [0, '']);
  test('alow');
  writeRules('pair.yaml', ['one', 'one']);
  const wrong = await sluice(['rules', 'check', 'pair.yaml.rules', 'pair.test.yaml']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /^pair\.yaml\.rules:4:\d+: rule id .*\npair\.test\.yaml:3:\d+: expect "alow" is not known/);
});

test('rules check finds rules that cannot mean what they say, and the names that a snapshot does not have', async () => {
  writeFileSync(
    join(directory, 'odd.rules'),
    `version: 1
rules:
  - { id: never, match: { effects: [insert], predicate: none }, action: deny }
  - { id: name, match: { tables: [public.order, pg_catalog.pg_class] }, action: deny }
`,
  );
  const orders = { schema: 'public', name: 'orders', kind: 'table', columns: [], keys: [], foreignKeys: [] };
  writeFileSync(
    join(directory, 'snapshot.json'),
    JSON.stringify({
      ...{ version: 1, dialect: 'postgres', serverVersion: '15.1', database: 'd', foldsNames: false, unseen: [] },
      relations: [{ ...orders, parents: [], definition: null, triggers: [], rules: [], rowSecurity: false }],
      ...{ functions: [], operators: [], casts: [], types: [] },
    }),
  );
  const { code, out } = await sluice(['rules', 'check', 'odd.rules', '--catalogue', 'snapshot.json']);
  assert.equal(code, 1);
  assert.match(
    out,
    /^odd\.rules:3:\d+: never matches: insert has no predicate \(never\)\nodd\.rules:4:\d+: there is no table public\.order \(name\)\n2 rules/,
  );
  const { findings } = JSON.parse((await sluice(['rules', 'check', 'odd.rules', '--json'])).out);
  assert.deepEqual(
    findings.map(({ rule, about }: { rule: string; about: string }) => [rule, about]),
    [['never', 'never matches']],
  );
  assert.equal((await sluice(['rules', 'check', 'odd.rules', '--catalogue', 'none.json'])).code, 2);
});

test('rules test runs the file beside the rules, and fails with what is not as expected', async () => {
  writeRules('shop', ['orders']);
  writeFileSync(
    join(directory, 'shop.test.yaml'),
    `given: { identity: { subject: bot, kind: agent }, connection: shop, default: allow }
rules: [shop.rules]
cases:
  - { sql: SELECT * FROM orders, expect: deny, rules: [orders] }
  - { sql: SELECT * FROM others, expect: deny }
`,
  );
  const { code, out } = await sluice(['rules', 'test', 'shop.test.yaml']);
  assert.equal(code, 1);
  assert.match(out, /^FAIL shop\.test\.yaml:5 SELECT \* FROM others\n {5}expected deny, got allow\n/);
  assert.match(out, /1 of 2 cases failed\.\nEvery one of 1 rules matched/);
  const json = await sluice(['rules', 'test', 'shop.test.yaml', '--json']);
  assert.equal(json.code, 1);
  assert.deepEqual(
    JSON.parse(json.out).cases.map((one: { ok: boolean }) => one.ok),
    [true, false],
  );
  assert.equal((await sluice(['rules', 'test', 'none'])).code, 2);
});

test('rules backtest and learn read the journal, from now back', async () => {
  const journal = join(directory, 'recorded');
  mkdirSync(journal);
  const attempt = (seq: number, text: string, at: string) =>
    JSON.stringify({
      ...{ v: 1, seq, at, event: 'statement.attempt', session: 's', statement: seq, via: 'query', fingerprint: 'f' },
      ...{ identity: { subject: 'bot', kind: 'agent', groups: [] }, connection: 'shop', text, verdict: 'allow' },
    });
  const lines = [
    attempt(1, 'SELECT 1 FROM old', '2020-01-01T00:00:00.000Z'),
    attempt(2, 'DELETE FROM orders WHERE id = 1', new Date().toISOString()),
  ];
  writeFileSync(join(journal, 'journal-20200101T000000000Z-1.jsonl'), `${lines.join('\n')}\n`);
  writeRules('new', ['orders']);
  const about = ['--since', '1h', '--journal', journal];
  const { code, out } = await sluice(['rules', 'backtest', 'new.rules', ...about, '--default', 'allow']);
  assert.equal(code, 0);
  assert.match(
    out,
    /^1 statements, 1 with another verdict\.\n\n.*\n1 +allow +deny +orders +f +bot +shop +DELETE FROM orders/,
  );
  const none = await sluice(['rules', 'backtest', 'new.rules', ...about, '--identity', 'dana', '--default', 'allow']);
  assert.match(none.out, /^0 statements/);
  const all = ['--since', '2019-01-01T00:00:00Z', '--until', '1h', '--journal', journal, '--journal', journal];
  assert.match((await sluice(['rules', 'backtest', 'new.rules', ...all])).out, /^2 statements/);
  const json = await sluice(['rules', 'backtest', 'new.rules', ...about, '--json']);
  assert.equal(JSON.parse(json.out).changes[0].to, 'deny');

  const learned = await sluice(['rules', 'learn', ...about, '-o', 'learned.yaml']);
  assert.equal(learned.code, 0, learned.err);
  assert.match(learned.err, /^1 of 1 recorded statements/);
  assert.equal((await sluice(['rules', 'check', 'learned.yaml'])).code, 0);
  assert.equal((await sluice(['rules', 'learn', '--since', '1h', '--journal', 'nowhere'])).code, 2);
});

test('sessions are printed, then what of the journal cannot be read, and the end is 1', async () => {
  const journal = join(directory, 'a-journal');
  mkdirSync(journal);
  const record = (seq: number, event: string, fields: object) =>
    JSON.stringify({ v: 1, seq, at: '2026-01-31T12:00:00.000Z', event, session: 's1', ...fields });
  const identity = { subject: 'bot\u001b[2J', kind: 'agent', groups: [] };
  const file = join(journal, 'journal-20260131T120000000Z-1.jsonl');
  const lines = [
    record(1, 'session.start', { identity, connection: 'orders', client: { address: '::1', tls: false } }),
    record(2, 'statement.attempt', { statement: 1, text: 'SELECT\n1', verdict: 'allow' }),
    record(3, 'statement.outcome', { statement: 1, status: 'ok', tag: 'SELECT 1', rows: 1, ms: 2.25 }),
  ];
  writeFileSync(file, `${lines.join('\n')}\nnot json\n`);
  const list = await sluice(['sessions', 'list', '--journal', journal]);
  assert.match(list.out, /s1 +2026-01-31T12:00:00Z +active +bot\\u\{1b\}\[2J +agent +orders +::1 +1 +0 +0\n$/);
  assert.equal(list.err, `${file}:4: is not JSON\n`);
  assert.equal(list.code, 1);
  const show = await sluice(['sessions', 'show', 's1', '--journal', journal]);
  assert.match(show.out, /\+0\.000s +allow +SELECT 1 +1 +2\.3 +SELECT 1\n$/);
  const unknown = await sluice(['sessions', 'show', 's2', '--journal', journal]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /The journal has no session s2\.\n$/);
  assert.equal((await sluice(['sessions', 'list', '--journal', join(directory, 'none')])).code, 2);
});

test('recordings verify says that all is in order, or what was changed where, and ends with 0, 1 or 2', async () => {
  const journal = join(directory, 'a-chain');
  const writing = Journal.open(journal);
  for (const text of ['one', 'two']) {
    writing.append(`"statement.attempt","text":"${text}"`, false);
    writing.flush();
  }
  writing.close();
  const good = await sluice(['recordings', 'verify', journal]);
  assert.equal(good.code, 0, good.err);
  assert.match(
    good.out,
    /^node +[0-9a-f-]{36}\nrecords +5, 1 to 5, in 1 segment\ncheckpoints +1 with a good signature\n/,
  );
  assert.match(good.err, /^The public keys are those beside the journal/);
  const { name } = segments(journal)[0]!;
  const before = readFileSync(join(journal, name), 'utf8');
  const checkpoint = before.trimEnd().split('\n').at(-1)!;
  const keys = join(journal, 'journal.keys.json');
  const head = join(directory, 'head.jsonl');
  writeFileSync(head, `not json\n{"event":"another"}\n${checkpoint}\n`);
  const kept = await sluice(['recordings', 'verify', journal, '--jwks', keys, '--head', head, '--json']);
  assert.deepEqual([kept.code, kept.err, JSON.parse(kept.out).kept], [0, '', 1]);

  writeFileSync(join(journal, name), before.replace('"one"', '"eno"'));
  const changed = await sluice(['recordings', 'verify', journal, '--jwks', keys]);
  assert.equal(changed.code, 1);
  assert.match(changed.out, /-1\.jsonl:3: changed: record 3, or the hash of them in record 4, was changed\n/);
  writeFileSync(join(journal, name), before.slice(0, before.indexOf(checkpoint)));
  const cut = await sluice(['recordings', 'verify', journal, '--head', head, '--json']);
  assert.equal(cut.code, 1);
  assert.deepEqual(
    JSON.parse(cut.out).findings.map(({ kind, seq }: { kind: string; seq: number }) => [kind, seq]),
    [
      ['not signed', 2],
      ['cut', 5],
    ],
  );
  assert.equal((await sluice(['recordings', 'verify', join(directory, 'none')])).code, 2);
  assert.equal((await sluice(['recordings', 'verify', journal, '--jwks', head])).code, 2);
});

test('status ends with 3 if nothing answers', async () => {
  const closed = createServer();
  await once(closed.listen(0, '127.0.0.1'), 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  const { code, err } = await sluice(['status', '--api', `127.0.0.1:${port}`]);
  assert.equal(code, 3);
  assert.match(err, /^No answer from http:.*ECONNREFUSED\n$/);
});

test('serve reloads rules when it is asked to and when their file changes, and keeps them if the new ones are wrong', async () => {
  const serving = await startServe('served.yaml');
  const reload = (...more: string[]) => sluice(['reload', '-c', 'served.yaml', ...more]);
  try {
    assert.match(serving.listening.postgres, /^127\.0\.0\.1:\d+$/);
    const status = async () => {
      const { code, out } = await sluice(['status', '--api', serving.listening.api, '--json']);
      return { code, rules: JSON.parse(out).checks.find(({ check }: { check: string }) => check === 'rules') };
    };
    assert.deepEqual(await status(), { code: 0, rules: { check: 'rules', ok: true, reason: null } });

    writeRules('served.yaml', ['second']);
    const reloaded = await reload('--json');
    const { ok, version, was, ...changes } = JSON.parse(reloaded.out);
    assert.deepEqual([reloaded.code, ok], [0, true]);
    assert.deepEqual(changes, { added: ['second'], removed: ['first'], changed: [], reason: null });
    assert.notEqual(version, was);
    assert.match((await reload()).out, /^The same rules are in force, version [0-9a-f]{16}\.\n$/);

    writeFileSync(join(directory, 'served.yaml.rules'), 'version: 1\nrulez: []\n');
    const rejected = await reload();
    assert.equal(rejected.code, 2);
    assert.match(
      rejected.err,
      /^\S+\/served\.yaml\.rules:2:1: unknown key "rulez".*\nNothing has changed: the rules of version/,
    );
    assert.ok(rejected.err.includes(version));
    const { code, rules } = await status();
    assert.equal(code, 1);
    assert.match(rules.reason, /unknown key "rulez"/);

    writeFileSync(
      join(directory, 'served.yaml.rules'),
      'version: 1\nrules:\n  - { id: second, match: {}, action: deny }\n',
    );
    await serving.line('rules reloaded', ({ by, changed }) => by === 'file change' && String(changed) === 'second');
    assert.equal((await status()).code, 0);

    serving.child.kill('SIGTERM');
    assert.deepEqual(await once(serving.child, 'exit'), [0, null]);
  } finally {
    serving.child.kill('SIGKILL');
  }
  const gone = await reload();
  assert.equal(gone.code, 3);
  assert.match(gone.err, /^No Sluice is running that writes the journal in /);
  const events: string[] = [];
  await readRecords(join(directory, 'served.yaml.journal'), {
    record: ({ event, fields }) => event.startsWith('rules.') && events.push(`${event} ${fields.by}`),
    problem: ({ message }) => assert.fail(message),
  });
  // The broken file may have been noticed as well, before it was mended.
  assert.deepEqual(
    events.filter((event) => event !== 'rules.rejected file change'),
    [
      ...['rules.loaded start', 'rules.loaded signal', 'rules.loaded signal'],
      ...['rules.rejected signal', 'rules.loaded file change'],
    ],
  );
});

test('serve ends with 1 if its address is taken and with 2 if the rules are wrong, and says why', async () => {
  const file = writeConfig('taken.yaml');
  const { port } = upstream.address() as AddressInfo;
  const child = spawn(process.execPath, [SLUICE, 'serve', '-c', file], {
    env: { ...process.env, SLUICE_LISTEN_POSTGRES: `127.0.0.1:${port}` },
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  assert.deepEqual(await once(child, 'close'), [1, null]);
  assert.match(err, /EADDRINUSE/);
  writeFileSync(join(directory, 'taken.yaml.rules'), 'nonsense');
  assert.equal((await sluice(['serve', '-c', file])).code, 2);
});

test('a second signal ends a drain that waits for a client', async () => {
  const serving = await startServe('stuck.yaml');
  try {
    const [host, port] = serving.listening.postgres.split(':');
    const socket = connect({ host: host!, port: Number(port) });
    await once(socket, 'connect');
    // However it is ended.
    socket.on('error', () => undefined);
    // One keystroke under npm arrives twice; only a later signal is a second one. Two kinds, since the system may make one of two
    // of the same.
    serving.child.kill('SIGTERM');
    serving.child.kill('SIGINT');
    await serving.line('draining; a second signal ends at once');
    await delay(700);
    assert.deepEqual([serving.child.exitCode, serving.child.signalCode], [null, null]);
    serving.child.kill('SIGTERM');
    assert.deepEqual(await once(serving.child, 'exit'), [0, null]);
    socket.destroy();
  } finally {
    serving.child.kill('SIGKILL');
  }
});

interface ServeProcess {
  readonly child: ChildProcess;
  readonly listening: { readonly postgres: string; readonly api: string };
  /** Waits for the log line with this message, and of which this is true. */
  line(message: string, is?: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

async function startServe(name: string): Promise<ServeProcess> {
  const child = spawn(process.execPath, [SLUICE, 'serve', '-c', writeConfig(name)], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const lines: Record<string, unknown>[] = [];
  let rest = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop()!;
    lines.push(...parts.map((part) => JSON.parse(part)));
  });
  const line: ServeProcess['line'] = async (message, is = () => true) => {
    for (let waited = 0; waited < 20_000; waited += 20) {
      const found = lines.find((one) => one.msg === message && is(one));
      if (found !== undefined) return found;
      assert.deepEqual(
        [child.exitCode, child.signalCode],
        [null, null],
        `serve ended: ${rest}${JSON.stringify(lines)}`,
      );
      await delay(20);
    }
    return assert.fail(`no "${message}" in ${JSON.stringify(lines)}`);
  };
  const listening = (await line('listening')) as unknown as ServeProcess['listening'];
  return { child, listening, line };
}
