import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Config } from './config.ts';
import { loadConfig } from './load.ts';
import { InvalidFileError } from './yaml-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-config-'));
after(() => rmSync(directory, { recursive: true }));

const VERIFIER =
  'SCRAM-SHA-256$4096:FSUpxxjyvNLmEnYaWSmmIw==$3/BXHVHqNXxv0rRPVtDtzzX+MbEcZMbQKVPtwgkxrSU=:J9KbLvGE+uvRFdFBlRJkRiJXgbM60vMYRLLnNBXNYKs=';

const VALID = `
listen: { postgres: 127.0.0.1:6432, api: "[::1]:6480" }
connections:
  - name: orders
    protocol: postgres
    upstream: { host: db1, database: orders, user: app, password: { env: ORDERS_PASSWORD } }
    default: deny
identity: { without_tls: loopback,
  users: [{ name: alice, kind: human, groups: [dba], scram: "${VERIFIER}" }] }
rules: [./rules/x.yaml]
recording: { directory: ./var/journal }
`;

const ENVIRONMENT = { ORDERS_PASSWORD: 'hunter2' };

function load(text: string, environment: Record<string, string> = ENVIRONMENT): Promise<Config> {
  const file = join(directory, 'sluice.yaml');
  writeFileSync(file, text);
  return loadConfig(file, environment);
}

/** The problems of a configuration that must not load, each as `LINE:COLUMN message` or `variable message`. */
async function problemsOf(text: string, environment: Record<string, string> = ENVIRONMENT): Promise<string[]> {
  try {
    await load(text, environment);
  } catch (error) {
    assert.ok(error instanceof InvalidFileError, String(error));
    assert.ok(!error.message.includes('hunter2'), 'a secret got into a message');
    return error.problems.map((problem) => {
      const where = 'variable' in problem ? `$${problem.variable}` : `${problem.line}:${problem.column}`;
      return `${where} ${problem.message}`;
    });
  }
  return assert.fail('it loaded');
}

test('a configuration is loaded with defaults, absolute paths and its secrets', async () => {
  const config = await load(VALID);
  assert.deepEqual(config, {
    listen: { postgres: { host: '127.0.0.1', port: 6432 }, mysql: null, api: { host: '::1', port: 6480 } },
    tls: null,
    connections: [
      {
        name: 'orders',
        protocol: 'postgres',
        upstream: {
          host: 'db1',
          port: 5432,
          database: 'orders',
          user: 'app',
          password: 'hunter2',
          tls: 'verify-full',
          ca: null,
        },
        default: 'deny',
      },
    ],
    users: [{ name: 'alice', kind: 'human', groups: ['dba'], scram: VERIFIER }],
    oidc: [],
    saml: null,
    roles: { viewer: [], approver: [], auditor: [], admin: [] },
    approvals: { breakGlass: [], url: null, channels: [] },
    longestCredentialMs: 12 * 3_600_000,
    withoutTls: 'loopback',
    rules: [join(directory, 'rules/x.yaml')],
    recording: {
      ...{ directory: join(directory, 'var/journal'), redact: 'secrets', durability: 'process', key: null },
      ...{ export: [], retain: null, index: false },
    },
    store: { kind: 'sqlite', file: join(directory, 'var/journal/sluice.db') },
    limits: {
      ...{ sessions: 2000, logins: 1000, handshakeMs: 15_000, idleMs: 0 },
      ...{ messageBytes: 64 * 1024 * 1024, drainMs: 30_000 },
    },
    log: { level: 'info' },
    file: join(directory, 'sluice.yaml'),
    warnings: [],
  });
});

test('the store is a file, or a PostgreSQL whose password is a secret', async () => {
  const url = 'postgres://sluice:hunter2@db/sluice';
  const storeOf = async (text: string) =>
    (await load(`${VALID}store: ${text}\n`, { STORE: url, WORD: 'hunter2', ORDERS_PASSWORD: 'x' })).store;
  assert.deepEqual(await storeOf('sqlite:./x.db'), { kind: 'sqlite', file: join(directory, 'x.db') });
  assert.deepEqual(await storeOf('postgres://sluice@db/sluice'), {
    kind: 'postgres',
    url: 'postgres://sluice@db/sluice',
  });
  assert.deepEqual(await storeOf('{ env: STORE }'), { kind: 'postgres', url });
  for (const wrong of [url, 'mysql://db/x', '{ env: WORD }', '{ env: STORE, file: x }', '5']) {
    const problems = await problemsOf(`${VALID}store: ${wrong}\n`, {
      STORE: url,
      WORD: 'hunter2',
      ORDERS_PASSWORD: 'x',
    });
    assert.match(problems.join(), /^12:\d+ store/, wrong);
    assert.ok(!problems.join().includes('hunter2'));
  }
});

test('every problem is reported at once, each at its place, unknown keys with the known one they resemble', async () => {
  const text = VALID.replace('default: deny', 'defualt: deny')
    .replace('postgres: 127.0.0.1:6432', 'postgres: 127.0.0.1')
    .replace('host: db1', 'host: "db 1", port: 70000')
    .concat('limits: { sesions: 5, idle: 5, handshake: 5y }\nlgo: {}\n');
  assert.deepEqual(await problemsOf(text), [
    '2:21 listen.postgres must be host:port (an IPv6 address in brackets: "[::1]:6432")',
    '4:5 connections[0].default is required',
    '6:23 connections[0].upstream.host is not a host name or address',
    '6:37 connections[0].upstream.port must be at most 65535',
    '7:5 unknown key "connections[0].defualt". Did you mean "default"?',
    '12:11 unknown key "limits.sesions". Did you mean "sessions"?',
    '12:29 limits.idle must be a duration such as 500ms, 15s, 5m or 1h',
    '12:43 limits.handshake must be a duration such as 500ms, 15s, 5m or 1h',
    '13:1 unknown key "lgo". Did you mean "log"?',
  ]);
});

test('a password written into the file is refused without repeating it', async () => {
  const [problem, ...others] = await problemsOf(VALID.replace('{ env: ORDERS_PASSWORD }', 'hunter2'));
  assert.match(
    problem!,
    /^6:67 connections\[0\]\.upstream\.password a secret is not written into this file: use \{ env/,
  );
  assert.deepEqual(others, []);
});

test('a file that is not YAML is refused at its place, without quoting the line', async () => {
  const problems = await problemsOf(VALID.replace('{ env: ORDERS_PASSWORD }', '"hunter2'));
  assert.match(problems[0]!, /^\d+:\d+ .*\(YAML\)$/);
});

test('duplicate keys, duplicate names and empty lists are refused', async () => {
  assert.match((await problemsOf(`${VALID}rules: []\n`)).join(), /^12:1 .*unique.*\(YAML\)$/);
  const twice = VALID.replace('users: [', `users: [{ name: alice, kind: agent, scram: "${VERIFIER}" }, `);
  assert.deepEqual(await problemsOf(twice), [
    `9:${twice.split('\n')[8]!.lastIndexOf('alice') + 1} identity.users[1].name "alice" is there twice`,
  ]);
  assert.deepEqual(await problemsOf(VALID.replace(/users: .*/, 'users: [] }')), [
    '8:1 identity has neither users nor oidc: nobody could log in',
  ]);
  assert.match((await problemsOf('')).join('\n'), /^1:1 listen is required\n1:1 connections is required\n/);
});

test('a SCRAM verifier that is none is refused', async () => {
  for (const bad of [
    'secret',
    'md5d41d8cd98f00b204e9800998ecf8427e',
    VERIFIER.slice(0, -3),
    VERIFIER.replace('4096', '0'),
  ]) {
    assert.match((await problemsOf(VALID.replace(VERIFIER, bad))).join(), /^9:\d+ identity\.users\[0\]\.scram /, bad);
  }
});

test('secrets come from a variable, a file or a command, and a failure names only the reference', async () => {
  const secretFile = join(directory, 'secret');
  const reference = (text: string) => VALID.replace('{ env: ORDERS_PASSWORD }', text);
  const password = async (text: string) => (await load(reference(text))).connections[0]!.upstream.password;
  writeFileSync(secretFile, 'hunter2 \n');
  assert.equal(await password('{ file: ./secret }'), 'hunter2 ');
  assert.equal(await password('{ command: [printf, "%s-%s\\n", a, "b c"] }'), 'a-b c');
  writeFileSync(secretFile, '\n');
  const failures: [string, RegExp][] = [
    ['{ env: MISSING }', /^6:57 environment variable MISSING is not set or empty$/],
    ['{ file: ./secret }', /^6:57 secret file .*\/secret is empty$/],
    ['{ file: ./nowhere }', /^6:57 secret file .*\/nowhere cannot be read: ENOENT$/],
    ['{ command: [sh, -c, "echo hunter2 >&2; exit 3"] }', /^6:57 secret command sh failed \(3\)$/],
    ['{ command: [no-such-program-here] }', /^6:57 secret command no-such-program-here failed \(ENOENT\)$/],
    ['{ env: ORDERS_PASSWORD, file: x }', /must have exactly one of env, file and command$/],
    ['{}', /must have exactly one of env, file and command$/],
  ];
  for (const [text, expected] of failures) assert.match((await problemsOf(reference(text))).join('\n'), expected);
});

test('SLUICE_ variables replace single values, and one that is not known is an error', async () => {
  const config = await load(VALID, {
    ...ENVIRONMENT,
    SLUICE_LISTEN_POSTGRES: '127.0.0.1:7000',
    SLUICE_LIMITS_SESSIONS: '5',
    SLUICE_LIMITS_DRAIN: '1s',
    SLUICE_LOG_LEVEL: 'debug',
  });
  assert.equal(config.listen.postgres?.port, 7000);
  assert.equal(config.limits.sessions, 5);
  assert.equal(config.limits.drainMs, 1000);
  assert.equal(config.log.level, 'debug');
  assert.deepEqual(
    await problemsOf(VALID, { ...ENVIRONMENT, SLUICE_LIMITS_SESIONS: '5', SLUICE_LIMITS_SESSIONS: 'many' }),
    [
      '$SLUICE_LIMITS_SESIONS is not known. Did you mean "SLUICE_LIMITS_SESSIONS"?',
      '$SLUICE_LIMITS_SESSIONS limits.sessions must be a number',
    ],
  );
});

test('variables that Kubernetes sets for a service and variables a secret refers to are not mistaken for settings', async () => {
  const config = await load(VALID.replace('ORDERS_PASSWORD', 'SLUICE_SECRET'), {
    SLUICE_SECRET: 'hunter2',
    SLUICE_SERVICE_HOST: '10.0.0.1',
    SLUICE_SERVICE_PORT: '6432',
    SLUICE_PORT: 'tcp://10.0.0.1:6432',
    SLUICE_PORT_6432_TCP_ADDR: '10.0.0.1',
  });
  assert.equal(config.connections[0]!.upstream.password, 'hunter2');
  assert.match(
    (await problemsOf(VALID, { ...ENVIRONMENT, SLUICE_LISTEN_PORT: '1' })).join(),
    /SLUICE_LISTEN_PORT is not known/,
  );
});

test('a certificate and key that do not belong together are refused, those that do are read', async () => {
  const make = (name: string) =>
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 -keyout ${name}.key -out ${name}.crt`.split(
        ' ',
      ),
      { cwd: directory, stdio: 'ignore' },
    );
  make('a');
  make('b');
  const tls = (certificate: string, key: string) => `${VALID}tls: { certificate: ./${certificate}, key: ./${key} }\n`;
  assert.match((await load(tls('a.crt', 'a.key'))).tls!.certificate, /BEGIN CERTIFICATE/);
  assert.match(
    (await problemsOf(tls('a.crt', 'b.key'))).join(),
    /^12:1 tls\.certificate and tls\.key cannot be used: /,
  );
  assert.match((await problemsOf(tls('a.crt', 'c.key'))).join(), /^12:1 .*c\.key cannot be read: ENOENT$/);
  const withAuthority = (ca: string, mode: string) =>
    VALID.replace('user: app', `user: app, tls: ${mode}, ca: ./${ca}`);
  assert.match((await load(withAuthority('a.crt', 'verify-ca'))).connections[0]!.upstream.ca!, /BEGIN CERTIFICATE/);
  assert.match((await problemsOf(withAuthority('a.key', 'verify-ca'))).join(), /a\.key has no PEM certificate in it$/);
  assert.match(
    (await problemsOf(withAuthority('a.crt', 'require'))).join(),
    /ca is only used with tls verify-ca or verify-full/,
  );
});

test('without tls, clients of this machine have to be let in by a setting', async () => {
  assert.deepEqual(await problemsOf(VALID.replace('without_tls: loopback,', '')), [
    '2:1 tls is missing, and identity.without_tls is not loopback: nobody could log in',
  ]);
  assert.match((await problemsOf(VALID.replace('loopback', 'everywhere'))).join(), /without_tls must be "?loopback/);
});

test('listening beyond loopback without tls and an unverified upstream are warned about', async () => {
  const config = await load(
    VALID.replace('127.0.0.1:6432', '0.0.0.0:6432').replace('user: app', 'user: app, tls: require'),
  );
  assert.equal(config.warnings.length, 2);
  assert.match(config.warnings[0]!, /^listen\.postgres is 0\.0\.0\.0:6432/);
  assert.match(config.warnings[1]!, /^connection orders reaches db1 with tls require/);
});

test('a connection needs a listener of its protocol, and a MySQL one has the port that MySQL has', async () => {
  const mysql = VALID.replace('protocol: postgres', 'protocol: mysql').replace('port: 5432, ', '');
  assert.match((await problemsOf(mysql)).join(), /connections\[0\]\.protocol is mysql, and there is no listen\.mysql/);
  const config = await load(mysql.replace('listen: {', 'listen: { mysql: 127.0.0.1:6306,'));
  assert.equal(config.connections[0]?.upstream.port, 3306);
});

test('a user has at least one verifier, each of its own form', async () => {
  const native = `"*${'0'.repeat(40)}"`;
  const without = VALID.replace(`scram: "${VERIFIER}"`, `mysql_native: ${native}`);
  assert.equal((await load(without)).users[0]?.mysql_native, native.slice(1, -1));
  assert.match(
    (await problemsOf(without.replace(`, mysql_native: ${native}`, ''))).join(),
    /users\[0\] has neither scram, mysql/,
  );
  assert.match(
    (await problemsOf(without.replace('mysql_native', 'mysql'))).join(),
    /users\[0\]\.mysql is not a caching_sha2/,
  );
});

test('syslog and OTLP are read with their certificates and secrets', async () => {
  writeFileSync(join(directory, 'siem.pem'), 'an authority');
  const { recording } = await load(`${VALID.replace('recording: { directory: ./var/journal }', '')}
recording:
  directory: ./var/journal
  export:
    - { to: syslog, address: "siem.example:6514", ca: ./siem.pem, format: cef }
    - { to: syslog, name: local, address: "127.0.0.1:601", transport: tcp }
    - { to: otlp, url: "http://127.0.0.1:4318/", logs: false, headers: { x-key: { env: ORDERS_PASSWORD } } }
`);
  const clear = { ca: null, certificate: null, key: null };
  assert.deepEqual(recording.export, [
    {
      ...{ to: 'syslog', name: 'syslog', address: { host: 'siem.example', port: 6514 }, transport: 'tls' },
      ...{ ...clear, ca: 'an authority', format: 'cef' },
    },
    {
      ...{ to: 'syslog', name: 'local', address: { host: '127.0.0.1', port: 601 }, transport: 'tcp' },
      ...{ ...clear, format: 'sluice' },
    },
    {
      ...{ to: 'otlp', name: 'otlp', url: 'http://127.0.0.1:4318', logs: false, traces: true },
      headers: { 'x-key': 'hunter2' },
    },
  ]);
});

test('records do not leave the machine in clear, and what belongs together has to be there', async () => {
  const problems = await problemsOf(`${VALID.replace('recording: { directory: ./var/journal }', '')}
recording:
  directory: ./var/journal
  export:
    - { to: syslog, address: "siem.example:601", transport: tcp }
    - { to: syslog, name: b, address: "siem.example:6514", certificate: ./siem.pem }
    - { to: otlp, url: "http://collector.example:4318" }
`);
  assert.equal(problems.length, 3);
  assert.match(problems[0]!, /must be tls to another machine/);
  assert.match(problems[1]!, /certificate and key belong together/);
  assert.match(problems[2]!, /must be an https address/);
});

const withRecording = (text: string) => VALID.replace('recording: { directory: ./var/journal }', text);

test('exporters are read with their secrets and absolute paths, and have the name of what they are', async () => {
  const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  const { recording } = await load(
    withRecording(`
recording:
  directory: ./var/journal
  export:
    - { to: jsonl, file: ./records.jsonl }
    - { to: jsonl, name: stdout }
    - { to: webhook, url: "https://siem.example/hook?a=b", secret: { env: HOOK }, previous_secret: { env: HOOK } }
    - { to: s3, url: "https://s3.example/audit", access_key_id: AKIA, secret_access_key: { env: ORDERS_PASSWORD }, lock: { mode: compliance, days: 30 } }
  retain: { days: 400, bytes: 200GiB }
`),
    { ...ENVIRONMENT, HOOK: SECRET },
  );
  assert.deepEqual(recording.export, [
    { to: 'jsonl', name: 'jsonl', file: join(directory, 'records.jsonl'), format: 'sluice' },
    { to: 'jsonl', name: 'stdout', file: null, format: 'sluice' },
    {
      ...{ to: 'webhook', name: 'webhook', url: 'https://siem.example/hook?a=b', format: 'sluice' },
      secrets: [SECRET, SECRET],
    },
    {
      ...{ to: 's3', name: 's3', url: 'https://s3.example/audit', region: 'us-east-1', prefix: '' },
      ...{
        accessKeyId: 'AKIA',
        secretAccessKey: 'hunter2',
        lock: { mode: 'compliance', days: 30 },
        everyMs: 3_600_000,
      },
    },
  ]);
  assert.deepEqual(recording.retain, { days: 400, bytes: 200 * 1024 ** 3 });
});

test('mistakes in exporters and in how long records are kept are told at their place', async () => {
  const problems = await problemsOf(
    withRecording(`
recording:
  directory: ./var/journal
  export:
    - { to: jsonl, fiel: ./records.jsonl }
    - { to: json }
    - { to: webhook, url: "http://siem.example", secret: whsec_abc }
    - { to: s3, url: "https://s3.example/audit", access_key_id: A, secret_access_key: { env: A }, prefix: /a, lock: { mode: eternal, days: 0 } }
  retain: {}
`),
  );
  for (const expected of [
    /^15:20 unknown key "recording.export\[0\].fiel". Did you mean "file"\?$/,
    /^16:13 recording.export\[1\].to "json" is not known. Did you mean "jsonl"\?$/,
    /^17:\d+ recording.export\[2\].url must be an https address$/,
    /^17:\d+ recording.export\[2\].secret a secret is not written into this file/,
    /^18:\d+ recording.export\[3\].prefix must be/,
    /^18:\d+ recording.export\[3\].lock.mode must be governance or compliance$/,
    /^18:\d+ recording.export\[3\].lock.days must be at least 1$/,
    /^19:\d+ recording.retain must have days, bytes or both$/,
  ]) {
    assert.ok(
      problems.some((problem) => expected.test(problem)),
      `${expected} in\n${problems.join('\n')}`,
    );
  }
});

test('two exporters of one name, a retention that cannot be kept and a webhook secret that is none are refused', async () => {
  const [twice, every, ...others] = await problemsOf(
    withRecording(`
recording:
  directory: ./var/journal
  export:
    - { to: jsonl }
    - { to: jsonl, file: ./other }
    - { to: s3, url: "https://s3.example/audit", access_key_id: A, secret_access_key: { env: A }, every: 2d }
  retain: { days: 2 }
`),
  );
  assert.match(twice!, /^16:\d+ recording.export\[1\] "jsonl" is there twice: give it a name of its own$/);
  assert.match(every!, /^17:\d+ recording.export\[2\].every must be less than recording.retain.days, 2d/);
  assert.deepEqual(others, []);
  const [small] = await problemsOf(withRecording('recording: { directory: ./var/journal, retain: { bytes: 1MiB } }'));
  assert.match(small!, /recording.retain.bytes must be between 256MiB and/);
  const [secret] = await problemsOf(
    withRecording(
      'recording: { directory: ./var/journal, export: [{ to: webhook, url: "https://a", secret: { env: ORDERS_PASSWORD } }] }',
    ),
  );
  assert.match(secret!, /a webhook secret is whsec_ and bytes in base64$/);
});
