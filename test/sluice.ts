import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { createCachingSha2Verifier, formatCachingSha2Verifier } from '../protocols/mysql/caching-sha2-password.ts';
import { createNativeVerifier, formatNativeVerifier } from '../protocols/mysql/native-password.ts';
import { createScramVerifier, formatScramVerifier } from '../protocols/postgres/scram.ts';
import { KEYS_FILE, readJwks } from '../src/recording/signing-key.ts';
import { verifyJournal } from '../src/recording/verify.ts';
import { checkRecords } from './records.ts';
import { type Certificates, makeCertificates } from './servers/certificates.ts';

export interface SluiceConnection {
  readonly name: string;
  /** Default `postgres`. */
  readonly protocol?: 'postgres' | 'mysql';
  readonly upstream: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly password: string;
    /** PEM file to verify the upstream's certificate with (`verify-full`); without it the upstream leg is in clear. */
    readonly ca?: string;
  };
  /** Default `allow`. */
  readonly default?: 'allow' | 'deny';
}

export interface SluiceUser {
  readonly name: string;
  /** Left out where a certificate is enough. */
  readonly password?: string;
  /** Names of client certificates. */
  readonly certificates?: readonly string[];
  /** Default `agent`. */
  readonly kind?: 'human' | 'agent' | 'service';
  readonly groups?: readonly string[];
  /** Who answers for it. */
  readonly owner?: string;
  /** The one plugin by which MySQL clients are asked for the password; left out, as they like. */
  readonly mysqlPlugin?: 'caching_sha2_password' | 'mysql_native_password' | undefined;
}

export interface SluiceOptions {
  readonly connections: readonly SluiceConnection[];
  readonly users: readonly SluiceUser[];
  /** The `identity.oidc` of sluice.yaml, as written there. */
  readonly oidc?: readonly object[];
  /** The groups of each role, as `identity.roles` of sluice.yaml has them. */
  readonly roles?: Readonly<Record<string, readonly string[]>>;
  /** The `store` of sluice.yaml, as written there; without it a file of its own. */
  readonly store?: string | { readonly file: string };
  /** Further keys of `recording`, as written in sluice.yaml; `directory` is there and empty. */
  readonly recording?: { readonly directory?: string; readonly [key: string]: unknown };
  /** The `approvals` of sluice.yaml, as written there. */
  readonly approvals?: object;
  /** Variables of its environment besides PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Text of one rule file; without it there are no rules. */
  readonly rulesYaml?: string;
  /** Serve clients TLS too, with a certificate for `localhost` and 127.0.0.1. */
  readonly tls?: boolean;
  /** Further keys of `tls`, as written in sluice.yaml. */
  readonly tlsKeys?: object;
  /** Nobody gets in without TLS, from this machine neither. */
  readonly needTls?: boolean;
  /** The `identity.saml` of sluice.yaml, as written there. */
  readonly saml?: object;
  /** The port of the API; left out, the system chooses. */
  readonly apiPort?: number;
  /** The `limits` of sluice.yaml, as written there. */
  readonly limits?: Readonly<Record<string, string | number>>;
  /** Run it with `--shadow`. */
  readonly shadow?: boolean;
}

/** A running `sluice serve`. */
export interface Sluice {
  readonly host: '127.0.0.1';
  /** Where PostgreSQL clients connect. */
  readonly port: number;
  /** Where MySQL clients connect. */
  readonly mysqlPort: number;
  readonly apiPort: number;
  readonly configFile: string;
  /** The rule file; a test may rewrite it and send SIGHUP. */
  readonly rulesFile: string;
  /** Paths of the TLS files; `null` without `tls`. */
  readonly certificates: Certificates | null;
  /** The file of its store, where it has no other. */
  readonly storeFile: string;
  readonly pid: number;
  /** Every record written so far, in order; a line still being written is left out. */
  journal(): Record<string, unknown>[];
  /** Everything it wrote to standard output and error so far. */
  log(): string;
  /** What of that went to standard output. */
  printed(): string;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code once it has ended; `null` if a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Ends it, checks what it recorded against the schema and the chain, and removes its directory. Rejects if it had to be killed. */
  stop(): Promise<void>;
}

/** Waits for the end of standard input, which comes when this process ends, by whatever cause, and cleans up after it. */
const GUARD = 'read -r _; kill -KILL "$1"; rm -rf "$2"';

/** Runs `sluice serve` on free ports of 127.0.0.1 with a configuration of its own; resolves once clients can connect. */
export async function startSluice(options: SluiceOptions): Promise<Sluice> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-serve-'));
  const configFile = join(directory, 'sluice.yaml');
  const rulesFile = join(directory, 'rules.yaml');
  const journalDirectory = options.recording?.directory ?? join(directory, 'journal');
  if (options.recording?.directory === undefined) mkdirSync(journalDirectory, { mode: 0o700 });
  const certificates = options.tls ? makeCertificates(directory) : null;
  writeFileSync(rulesFile, options.rulesYaml ?? '');
  const settings = {
    listen: { postgres: '127.0.0.1:0', mysql: '127.0.0.1:0', api: `127.0.0.1:${options.apiPort ?? 0}` },
    ...(certificates && { tls: { certificate: certificates.certificate, key: certificates.key, ...options.tlsKeys } }),
    connections: options.connections.map((connection) => configured(connection, directory)),
    identity: {
      ...(options.needTls !== true && { without_tls: 'loopback' }),
      users: await Promise.all(options.users.map(enrolled)),
      ...(options.roles && { roles: options.roles }),
      ...(options.oidc && { oidc: options.oidc }),
      ...(options.saml && { saml: options.saml }),
    },
    rules: options.rulesYaml === undefined ? [] : [rulesFile],
    recording: { directory: journalDirectory, ...options.recording },
    ...(options.approvals && { approvals: options.approvals }),
    ...(options.store && { store: options.store }),
    ...(options.limits && { limits: options.limits }),
  };
  writeFileSync(configFile, stringify(settings), { mode: 0o600 });

  const program = join(import.meta.dirname, '../src/cli/sluice.js');
  const child = spawn(
    process.execPath,
    [program, 'serve', '--config', configFile, ...(options.shadow ? ['--shadow'] : [])],
    {
      // Nothing of the environment, so that no SLUICE_* or PG* variable of a developer reaches it.
      env: { PATH: process.env.PATH, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (stream === child.stdout) printed += text;
    });
  }
  const exited = once(child, 'exit').then(([code]): number | null => code);
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${process.execPath} cannot be started`);
  const guard = spawn('/bin/sh', ['-c', GUARD, 'sh', String(pid), directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();

  const signal = (name: NodeJS.Signals) => {
    child.kill(name);
  };
  const endsWithin = async (milliseconds: number) =>
    (await Promise.race([exited.then(() => true), sleep(milliseconds, false)])) === true;
  const stop = async () => {
    let killed = false;
    signal('SIGTERM');
    if (!(await endsWithin(2000))) {
      signal('SIGTERM');
      if (!(await endsWithin(10_000))) {
        killed = true;
        signal('SIGKILL');
        await exited;
      }
    }
    guard.kill('SIGKILL');
    try {
      if (killed) throw new Error(`sluice did not end within 10 s of a second SIGTERM:\n${output}`);
      checkRecords(readJournal(journalDirectory));
      // One that could not start has none; one that was killed could not sign its end.
      const keys = readJwks(join(journalDirectory, KEYS_FILE));
      const isCopyOfRunning = (await exited) === null;
      const findings = keys === null ? [] : (await verifyJournal(journalDirectory, { keys, isCopyOfRunning })).findings;
      if (findings.length > 0) throw new Error(`the journal is not in order: ${JSON.stringify(findings.slice(0, 5))}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  const deadline = Date.now() + 30_000;
  let listening = listeningLine(output);
  while (listening === null) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`sluice serve does not listen:\n${output}`);
    }
    await sleep(20);
    listening = listeningLine(output);
  }
  return {
    host: '127.0.0.1',
    port: portOf(listening.postgres),
    mysqlPort: portOf(listening.mysql),
    apiPort: portOf(listening.api),
    configFile,
    rulesFile,
    certificates,
    storeFile: join(journalDirectory, 'sluice.db'),
    pid,
    journal: () => readJournal(journalDirectory),
    log: () => output,
    printed: () => printed,
    signal,
    exited,
    stop,
  };
}

export interface ServedAgain {
  /** Where PostgreSQL clients connect. */
  readonly port: number;
  /** Where MySQL clients connect. */
  readonly mysqlPort: number;
  readonly apiPort: number;
  /** Everything it wrote to standard output so far. */
  printed(): string;
  kill(): Promise<void>;
  /** Ends it as an operator does. */
  end(): Promise<void>;
}

/** The configuration of one that has ended, served once more. */
export async function serveAgain(configFile: string): Promise<ServedAgain> {
  const program = join(import.meta.dirname, '../src/cli/sluice.js');
  const child = spawn(process.execPath, [program, 'serve', '--config', configFile], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (stream === child.stdout) printed += text;
    });
  }
  for (let waited = 0; ; waited += 20) {
    const listening = listeningLine(output);
    if (listening !== null) {
      const stop = async (signal: NodeJS.Signals) => {
        child.kill(signal);
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      };
      const { postgres, mysql, api } = listening;
      const ports = { port: portOf(postgres), mysqlPort: portOf(mysql), apiPort: portOf(api) };
      return { ...ports, printed: () => printed, kill: () => stop('SIGKILL'), end: () => stop('SIGTERM') };
    }
    if (child.exitCode !== null || waited > 30_000) {
      child.kill('SIGKILL');
      throw new Error(`sluice does not listen again:\n${output}`);
    }
    await sleep(20);
  }
}

function configured(connection: SluiceConnection, directory: string) {
  const { name, protocol = 'postgres', upstream, default: verdict = 'allow' } = connection;
  const { ca, password, ...address } = upstream;
  const passwordFile = join(directory, `${name}.password`);
  writeFileSync(passwordFile, password, { mode: 0o600 });
  const tls = ca === undefined ? { tls: 'disable' } : { tls: 'verify-full', ca };
  return {
    name,
    protocol,
    upstream: { ...address, password: { file: passwordFile }, ...tls },
    default: verdict,
  };
}

async function enrolled({ name, password, certificates, kind = 'agent', groups = [], owner, mysqlPlugin }: SluiceUser) {
  return {
    ...{ name, kind, groups },
    ...(owner && { owner }),
    ...(certificates && { certificates }),
    ...(password !== undefined && {
      scram: formatScramVerifier(await createScramVerifier(password)),
      ...(mysqlPlugin !== 'mysql_native_password' && {
        mysql: formatCachingSha2Verifier(await createCachingSha2Verifier(password)),
      }),
      ...(mysqlPlugin !== 'caching_sha2_password' && {
        mysql_native: formatNativeVerifier(createNativeVerifier(password)),
      }),
    }),
  };
}

/** The log line that tells the addresses, once it is there in full. */
function listeningLine(output: string): { postgres: string; mysql: string; api: string } | null {
  const line = output
    .split('\n')
    .slice(0, -1)
    .find((text) => text.includes('"msg":"listening"'));
  return line === undefined ? null : JSON.parse(line);
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

function readJournal(directory: string): Record<string, unknown>[] {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  return files.flatMap((name) => {
    const lines = readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1);
    return lines.map((line): Record<string, unknown> => JSON.parse(line));
  });
}
