import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { type Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { formatAddress, isLoopback } from './address.ts';
import type { Config, ConnectionConfig } from './config.ts';
import { outlineAt, overrideVariables } from './outline.ts';
import { configSchema, type FileConfig } from './schema.ts';
import { resolveSecret } from './secrets.ts';
import { suggestion } from './suggestion.ts';

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** `/etc/sluice.yaml:3:5`, `environment variable SLUICE_LOG_LEVEL`. */
  readonly where: string;
  readonly message: string;
}

/** Everything that is wrong with a configuration, not only the first of it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => `${problem.where}: ${problem.message}`).join('\n'));
    this.problems = problems;
  }
}

/**
 * Reads sluice.yaml, applies `SLUICE_*` variables, checks all of it and resolves secrets and paths (relative ones from the
 * file's directory). Throws a {@link ConfigError}; no message has a secret in it.
 */
export async function loadConfig(path: string, environment: NodeJS.ProcessEnv = process.env): Promise<Config> {
  const { file, value, at } = await readConfigFile(path, environment);
  return resolveReferences(value, file, environment, at);
}

/**
 * The first half of {@link loadConfig}: the checked file without what it refers to. Commands that only want to know where
 * the journal or the API is use it, so that they need no access to secrets.
 */
export async function readConfigFile(
  path: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly file: string; readonly value: FileConfig; readonly at: At }> {
  const file = resolve(path);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError([{ where: file, message: `cannot be read: ${error.code}` }]);
  });
  const source = parseSource(file, text);
  const overrides = overridesIn(environment, source.value);
  const shape = configSchema.safeParse(overrides.value, { error: explain });
  const problems = [
    ...overrides.problems,
    ...(shape.error?.issues ?? []).flatMap((issue) => describe(issue, source, overrides.applied)),
  ];
  if (problems.length > 0 || !shape.success) throw new ConfigError(problems);
  return { file, value: shape.data, at: (...where) => whereIs(where, source, overrides.applied) };
}

/** Where the value at a path of keys and indexes was given. */
type At = (...where: readonly (string | number)[]) => string;

interface Source {
  readonly file: string;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  readonly value: unknown;
}

function parseSource(file: string, text: string): Source {
  const lines = new LineCounter();
  // Not `prettyErrors`: they quote the line, and the line may hold a secret.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    throw new ConfigError(
      faults.map((fault) => ({ where: position(file, lines, fault.pos[0]), message: `${fault.message} (YAML)` })),
    );
  }
  try {
    return { file, document, lines, value: document.toJS() ?? {} };
  } catch (error) {
    // Aliases that would expand without end.
    throw new ConfigError([{ where: file, message: `${(error as Error).message} (YAML)` }]);
  }
}

interface Overrides {
  /** The file's value with the variables' values in it. */
  readonly value: unknown;
  /** `limits.sessions` to `SLUICE_LIMITS_SESSIONS`. */
  readonly applied: ReadonlyMap<string, string>;
  readonly problems: readonly ConfigProblem[];
}

function overridesIn(environment: NodeJS.ProcessEnv, fileValue: unknown): Overrides {
  const value: unknown = structuredClone(fileValue);
  const applied = new Map<string, string>();
  const problems: ConfigProblem[] = [];
  const secrets = secretVariables(fileValue);
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('SLUICE_') || text === undefined || secrets.has(name)) continue;
    const path = overrideVariables.get(name);
    if (path === undefined) {
      if (isServiceLink(name, text)) continue;
      const message = `is not known.${suggestion(name, overrideVariables.keys())}`;
      problems.push({ where: `environment variable ${name}`, message });
      continue;
    }
    if (set(value, path, outlineAt(path)?.type === 'integer' && /^\d+$/.test(text) ? Number(text) : text)) {
      applied.set(path.join('.'), name);
    }
  }
  return { value, applied, problems };
}

/** False if the file has something other than a mapping on the way, which the schema then complains about. */
function set(root: unknown, path: readonly string[], value: unknown): boolean {
  let at = root;
  for (const key of path.slice(0, -1)) {
    if (!isRecord(at)) return false;
    at[key] ??= {};
    at = at[key];
  }
  if (!isRecord(at)) return false;
  at[path.at(-1)!] = value;
  return true;
}

/** Variables that `{ env: NAME }` refers to: they may be called SLUICE_ something as well. */
function secretVariables(value: unknown): Set<string> {
  const names = new Set<string>();
  const connections = isRecord(value) ? value.connections : null;
  for (const connection of Array.isArray(connections) ? connections : []) {
    const upstream = isRecord(connection) ? connection.upstream : null;
    const password = isRecord(upstream) ? upstream.password : null;
    if (isRecord(password) && typeof password.env === 'string') names.add(password.env);
  }
  return names;
}

/**
 * Kubernetes sets variables like SLUICE_SERVICE_HOST and SLUICE_PORT=tcp://... in every container for a Service of the
 * name `sluice` or `sluice-...`; they are nobody's mistake.
 */
function isServiceLink(name: string, text: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text))
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const explain: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_type') {
    return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
  }
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => `"${String(value)}"`).join(' or ')}`;
  if (issue.code === 'too_small') return `must be at least ${issue.minimum}`;
  if (issue.code === 'too_big') return `must be at most ${issue.maximum}`;
  return undefined;
};

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping of keys to values',
  array: 'a list',
  string: 'a text (in quotes if it looks like a number)',
  number: 'a number',
  int: 'a whole number',
};

function describe(issue: z.core.$ZodIssue, source: Source, applied: ReadonlyMap<string, string>): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(outlineAt(issue.path)?.properties ?? {});
    return issue.keys.map((key) => ({
      where: whereIs([...issue.path, key], source, applied),
      message: `unknown key "${dotted([...issue.path, key])}".${suggestion(key, known)}`,
    }));
  }
  const prefix = issue.path.length === 0 ? '' : `${dotted(issue.path)} `;
  return [{ where: whereIs(issue.path, source, applied), message: prefix + issue.message }];
}

/** `connections[0].upstream.host` */
function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

/** Where in the file, or in which variable, the value at a path was given; for one that was left out, its parent. */
function whereIs(path: readonly PropertyKey[], source: Source, applied: ReadonlyMap<string, string>): string {
  const variable = applied.get(path.map(String).join('.'));
  if (variable !== undefined) return `environment variable ${variable}`;
  let node: unknown = source.document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const step of path) {
    if (isNode(node) && 'resolve' in node) node = node.resolve(source.document);
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) break;
      // The key's place: it is on the line people look for even when the value starts on the next.
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair.value;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    if (next === undefined) break;
    node = next;
  }
  return position(source.file, source.lines, offset);
}

function position(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}`;
}

async function resolveReferences(
  value: FileConfig,
  file: string,
  environment: NodeJS.ProcessEnv,
  at: At,
): Promise<Config> {
  const directory = dirname(file);
  const problems: ConfigProblem[] = [];
  /** The value, or `null` with the problem noted. */
  async function attempt<T>(where: string, work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      problems.push({ where, message: (error as Error).message });
      return null;
    }
  }

  const tls = value.tls === undefined ? null : await attempt(at('tls'), () => readServerTls(value.tls!, directory));
  const connections: ConnectionConfig[] = [];
  for (const [index, connection] of value.connections.entries()) {
    const { password, ca, ...upstream } = connection.upstream;
    const path = ['connections', index, 'upstream'] as const;
    connections.push({
      ...connection,
      upstream: {
        ...upstream,
        port: upstream.port ?? USUAL_PORTS[connection.protocol],
        password:
          password === undefined
            ? null
            : await attempt(at(...path, 'password'), () => resolveSecret(password, directory, environment)),
        ca: ca === undefined ? null : await attempt(at(...path, 'ca'), () => readAuthorities(resolve(directory, ca))),
      },
    });
  }
  const { postgres = null, mysql = null, api = null } = value.listen;
  const taken = new Map<string, string>();
  for (const [name, address] of Object.entries({ postgres, mysql, api })) {
    if (address === null || address.port === 0) continue;
    const other = taken.get(formatAddress(address));
    if (other === undefined) taken.set(formatAddress(address), name);
    else problems.push({ where: at('listen', name), message: `listen.${name} is the same address as listen.${other}` });
  }
  if (problems.length > 0) throw new ConfigError(problems);

  return {
    listen: { postgres, mysql, api },
    tls,
    connections,
    users: value.identity.users,
    oidc: value.identity.oidc.map(({ claims: { subject, groups = null, kind = null, owner = null }, ...provider }) => ({
      ...provider,
      claims: { subject, groups, kind, owner },
    })),
    rules: value.rules.map((rule) => resolve(directory, rule)),
    recording: { directory: resolve(directory, value.recording.directory) },
    limits: {
      sessions: value.limits.sessions,
      handshakeMs: value.limits.handshake,
      idleMs: value.limits.idle,
      messageBytes: value.limits.message,
      drainMs: value.limits.drain,
    },
    log: value.log,
    file,
    warnings: warningsAbout(value),
  };
}

const USUAL_PORTS = { postgres: 5432, mysql: 3306 } as const;

function warningsAbout(value: FileConfig): string[] {
  const warnings: string[] = [];
  const { postgres, mysql, api } = value.listen;
  for (const [name, address] of Object.entries({ postgres, mysql })) {
    if (address === undefined || isLoopback(address.host) || value.tls !== undefined) continue;
    warnings.push(
      `listen.${name} is ${formatAddress(address)}, reachable from other machines, and there is no tls: statements and results travel in clear.`,
    );
  }
  if (api !== undefined && !isLoopback(api.host)) {
    warnings.push(
      `listen.api is ${formatAddress(api)}, reachable from other machines: health and metrics are served to anyone, in clear.`,
    );
  }
  for (const { name, upstream } of value.connections) {
    if (!isLoopback(upstream.host) && (upstream.tls === 'disable' || upstream.tls === 'require')) {
      warnings.push(
        `connection ${name} reaches ${upstream.host} with tls ${upstream.tls}: the server is not verified.`,
      );
    }
  }
  return warnings;
}

async function readServerTls(
  tls: { readonly certificate: string; readonly key: string },
  directory: string,
): Promise<{ certificate: string; key: string }> {
  const certificate = await readPem(resolve(directory, tls.certificate));
  const key = await readPem(resolve(directory, tls.key));
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    // OpenSSL's reason ("key values mismatch", "no start line") quotes neither.
    throw new Error(`tls.certificate and tls.key cannot be used: ${(error as Error).message}`);
  }
  return { certificate, key };
}

async function readAuthorities(file: string): Promise<string> {
  const text = await readPem(file);
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error(`${file} has no PEM certificate in it`);
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch {
      throw new Error(`${file} has a certificate that cannot be read`);
    }
  }
  return text;
}

async function readPem(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file} cannot be read: ${error.code}`);
  });
}
