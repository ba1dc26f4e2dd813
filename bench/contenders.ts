/** What stands between pgbench and PostgreSQL in one row of the table, and how it is started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createScramVerifier, formatScramVerifier } from '../protocols/postgres/scram.ts';
import { unprivilegedAccount } from '../test/servers/account.ts';
import { freePort } from '../test/servers/free-port.ts';
import type { PostgresServer } from '../test/servers/postgres.ts';

/** Most sessions any case opens at once: 2,000 idle, 50 busy, and room for those still closing. */
export const MOST_SESSIONS = 2200;

/** Debian keeps servers in sbin, which is not on everybody's PATH. */
const PROGRAM_FOLDERS = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin'];

export interface RunningContender {
  readonly port: number;
  /** The process whose CPU time and memory count, with its descendants; `null` for a direct connection. */
  readonly pid: number | null;
  stop(): Promise<void>;
}

export interface Contender {
  /** What `--only` takes. */
  readonly name: string;
  /** What the table says. */
  readonly label: string;
  /** The program it needs on the PATH besides Node; it is left out, and said to be, on a machine without. */
  readonly program?: string;
  /** Whether the slow-reader and the 2,000-sessions cases, which take long, run for it. */
  readonly longCases: boolean;
  /** Starts it in front of the server; `directory` is an existing temporary one of its own. Ready when it resolves. */
  start(server: PostgresServer, directory: string): Promise<RunningContender>;
}

/** Sluice as far as it goes today. Recording has no switch: it is in every step. The next step is one more line. */
const SLUICE_STEPS = [
  { name: 'sluice-allow', label: 'Sluice, no rules', rules: [], index: false, longCases: false },
  {
    name: 'sluice-rules',
    label: 'Sluice, + shipped rules',
    rules: ['../rules/destructive.yaml'],
    index: false,
    longCases: true,
  },
  {
    name: 'sluice-masks',
    label: 'Sluice, + masks',
    rules: ['../rules/destructive.yaml', 'masks.yaml'],
    index: false,
    longCases: true,
  },
  {
    name: 'sluice-index',
    label: 'Sluice, + rules, + index of records',
    rules: ['../rules/destructive.yaml'],
    index: true,
    longCases: false,
  },
] as const;

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'direct',
    label: 'direct',
    longCases: false,
    start: async (server) => ({ port: server.port, pid: null, stop: async () => {} }),
  },
  { name: 'relay', label: 'bare Node relay', longCases: true, start: startRelay },
  {
    name: 'pgbouncer',
    label: 'PgBouncer, session mode',
    program: 'pgbouncer',
    longCases: false,
    start: startPgbouncer,
  },
  { name: 'haproxy', label: 'HAProxy, TCP mode', program: 'haproxy', longCases: false, start: startHaproxy },
  ...SLUICE_STEPS.map(
    ({ name, label, rules, index, longCases }): Contender => ({
      name,
      label,
      longCases,
      start: (server, directory) => startSluice(server, directory, rules, index),
    }),
  ),
];

/** The floor: a relay in Node that looks at nothing. */
export async function startRelay(server: { readonly port: number }): Promise<RunningContender> {
  const relay = spawn(process.execPath, [path.join(import.meta.dirname, 'relay.ts'), String(server.port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWithBench(relay);
  const port = await Promise.race([
    once(relay.stdout, 'data').then(([line]) => Number(String(line))),
    once(relay, 'exit').then(([code]) => Promise.reject(new Error(`the relay ended with ${code}`))),
  ]);
  return { port, pid: relay.pid!, stop: () => end(relay) };
}

async function startPgbouncer(server: PostgresServer, directory: string): Promise<RunningContender> {
  const port = await freePort();
  const users = path.join(directory, 'users.txt');
  const settings = path.join(directory, 'pgbouncer.ini');
  // The password in clear: with it PgBouncer can speak SCRAM on both sides, as Sluice does.
  writeFileSync(users, `"${server.superuser}" "${server.password}"\n`);
  writeFileSync(
    settings,
    `[databases]
* = host=127.0.0.1 port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = session
max_client_conn = ${MOST_SESSIONS}
default_pool_size = ${MOST_SESSIONS}
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`,
  );
  const account = unprivilegedAccount('postgres'); // PgBouncer does not run as root.
  if (account !== null) {
    for (const file of [directory, users, settings]) chownSync(file, account.uid, account.gid);
    chmodSync(directory, 0o700);
  }
  return startProgram('pgbouncer', [settings], port, { ...account });
}

async function startHaproxy(server: PostgresServer, directory: string): Promise<RunningContender> {
  const port = await freePort();
  const settings = path.join(directory, 'haproxy.cfg');
  // One thread, because every other contender has one on its data path.
  writeFileSync(
    settings,
    `global
  nbthread 1
  maxconn ${MOST_SESSIONS}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:${port}
  server upstream 127.0.0.1:${server.port}
`,
  );
  return startProgram('haproxy', ['-db', '-f', settings], port, {});
}

async function startSluice(
  server: PostgresServer,
  directory: string,
  rules: readonly string[],
  index: boolean,
): Promise<RunningContender> {
  const port = await freePort();
  const settings = path.join(directory, 'sluice.yaml');
  const { superuser: user, password, database } = server;
  const configuration = {
    listen: { postgres: `127.0.0.1:${port}` },
    connections: [
      {
        name: database,
        protocol: 'postgres',
        upstream: {
          host: '127.0.0.1',
          port: server.port,
          database,
          user,
          password: { env: 'UPSTREAM' },
          tls: 'disable',
        },
        default: 'allow',
      },
    ],
    identity: {
      without_tls: 'loopback',
      users: [
        {
          name: user,
          kind: 'agent',
          groups: ['bench'],
          scram: formatScramVerifier(await createScramVerifier(password)),
        },
      ],
    },
    rules: rules.map((file) => path.join(import.meta.dirname, file)),
    recording: { directory: path.join(directory, 'journal'), index },
    limits: { sessions: MOST_SESSIONS },
  };
  writeFileSync(settings, JSON.stringify(configuration)); // JSON is YAML.
  const main = path.join(import.meta.dirname, '../src/cli/sluice.js');
  return startProgram(process.execPath, [main, 'serve', '--config', settings], port, { env: { UPSTREAM: password } });
}

/** Starts a program in the foreground and waits until it accepts connections. Throws with what it printed if it ends first. */
export async function startProgram(
  program: string,
  options: readonly string[],
  port: number,
  { env, ...account }: { env?: Record<string, string>; uid?: number; gid?: number },
): Promise<RunningContender> {
  const child = spawn(program, options, {
    ...account,
    env: { ...process.env, ...env, PATH: PROGRAM_FOLDERS.join(path.delimiter) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithBench(child);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed = (printed + chunk).slice(-4000);
    });
  }
  let ended: string | null = null;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `ended with ${signal ?? code}`;
  });
  const deadline = performance.now() + 10_000;
  while (!(await accepts(port))) {
    if (ended !== null || performance.now() > deadline) {
      if (ended === null) await end(child);
      throw new Error(`${program} did not start (${ended ?? 'no connection accepted for 10 s'}):\n${printed}`);
    }
    await sleep(50);
  }
  return { port, pid: child.pid!, stop: () => end(child) };
}

/** Whether a program of this name is in one of the folders. */
export function isInstalled(program: string, folders: readonly string[] = PROGRAM_FOLDERS): boolean {
  return folders.some((folder) => existsSync(path.join(folder, program)));
}

async function accepts(port: number): Promise<boolean> {
  const socket = net.connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Whatever way the benchmark ends, its children end with it. */
function endWithBench(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
