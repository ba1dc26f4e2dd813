import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { parseWebhookSecret } from '../../protocols/webhooks/standard-webhooks.ts';
import { formatAddress, isLoopback } from './address.ts';
import { channelOf } from './channels.ts';
import type {
  ApprovalChannelConfig,
  Config,
  ConnectionConfig,
  ExporterConfig,
  OidcConfig,
  SamlConfig,
  StoreConfig,
  TlsConfig,
} from './config.ts';
import type { ExportFileConfig } from './export-schema.ts';
import { outlineAt, overrideVariables } from './outline.ts';
import { configSchema, type FileConfig } from './schema.ts';
import type { SecretReference } from './schema-values.ts';
import { resolveSecret } from './secrets.ts';
import { suggestion } from './suggestion.ts';
import { explainShape, type FileProblem, InvalidFileError, type Where, type Wording, YamlFile } from './yaml-file.ts';

/**
 * Reads sluice.yaml, applies `SLUICE_*` variables, checks all of it and resolves secrets and paths (relative ones from the
 * file's directory). Throws an {@link InvalidFileError}; no message has a secret in it.
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
  const source = YamlFile.read(resolve(path));
  const overrides = overridesIn(environment, source.value ?? {});
  const where = (path: readonly PropertyKey[], of: 'value' | 'key' = 'value'): Where => {
    const variable = overrides.applied.get(path.map(String).join('.'));
    return variable === undefined ? source.placeOf(path, of) : { variable };
  };
  const shape = configSchema.safeParse(overrides.value, { error: explainShape });
  const wrong = shape.success ? [] : source.problems(shape.error, WORDING, where);
  const problems = [...overrides.problems, ...wrong];
  if (problems.length > 0 || !shape.success) throw new InvalidFileError(problems);
  return { file: source.path, value: shape.data, at: (...path) => where(path, 'key') };
}

/** Where the value at a path of keys and indexes was given. */
type At = (...path: readonly (string | number)[]) => Where;

interface Overrides {
  /** The file's value with the variables' values in it. */
  readonly value: unknown;
  /** `limits.sessions` to `SLUICE_LIMITS_SESSIONS`. */
  readonly applied: ReadonlyMap<string, string>;
  readonly problems: readonly FileProblem[];
}

/** What commands that ask a running Sluice log in with. */
const OF_COMMANDS: ReadonlySet<string> = new Set(['SLUICE_TOKEN', 'SLUICE_PASSWORD']);

function overridesIn(environment: NodeJS.ProcessEnv, fileValue: unknown): Overrides {
  const value: unknown = structuredClone(fileValue);
  const applied = new Map<string, string>();
  const problems: FileProblem[] = [];
  const secrets = secretVariables(fileValue);
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('SLUICE_') || text === undefined || secrets.has(name) || OF_COMMANDS.has(name)) continue;
    const path = overrideVariables.get(name);
    if (path === undefined) {
      if (isServiceLink(name, text)) continue;
      const message = `is not known.${suggestion(name, overrideVariables.keys())}`;
      problems.push({ variable: name, message });
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
  const walk = (inner: unknown): void => {
    if (Array.isArray(inner)) inner.forEach(walk);
    else if (isRecord(inner)) {
      if (typeof inner.env === 'string') names.add(inner.env);
      Object.values(inner).forEach(walk);
    }
  };
  walk(value);
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

const WORDING: Wording = {
  keysAt: (path) => Object.keys(outlineAt(path)?.properties ?? {}),
  unknownKey: (path, key) => `unknown key "${dotted([...path, key])}"`,
  about: (path, message) => `${path.length === 0 ? '' : `${dotted(path)} `}${message}`,
};

/** `connections[0].upstream.host` */
function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}

async function resolveReferences(
  value: FileConfig,
  file: string,
  environment: NodeJS.ProcessEnv,
  at: At,
): Promise<Config> {
  const directory = dirname(file);
  const problems: FileProblem[] = [];
  /** The value, or `null` with the problem noted. */
  async function attempt<T>(where: Where, work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      problems.push({ ...where, message: (error as Error).message });
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
  const store = await attempt(at('store'), async () => {
    return storeOf(value, directory, environment);
  });
  const saml =
    value.identity.saml === undefined
      ? null
      : await attempt(at('identity', 'saml'), () => samlOf(value.identity.saml!, directory));
  const { key: signingKey } = value.recording;
  const key =
    signingKey === undefined
      ? null
      : await attempt(at('recording', 'key'), () => resolveSecret(signingKey, directory, environment));
  const exporters: ExporterConfig[] = [];
  for (const [index, exporter] of value.recording.export.entries()) {
    const where = at('recording', 'export', index);
    const read = await attempt(where, () =>
      exporterOf(exporter, directory, (reference) => resolveSecret(reference, directory, environment)),
    );
    if (read !== null) exporters.push(read);
  }
  const channels: ApprovalChannelConfig[] = [];
  for (const [index, channel] of value.approvals.channels.entries()) {
    const found = await channelOf(channel, (key, reference, read) =>
      attempt(at('approvals', 'channels', index, key), async () =>
        read(await resolveSecret(reference, directory, environment)),
      ),
    );
    if (found !== null) channels.push(found);
  }
  const { postgres = null, mysql = null, api = null } = value.listen;
  const taken = new Map<string, string>();
  for (const [name, address] of Object.entries({ postgres, mysql, api })) {
    if (address === null || address.port === 0) continue;
    const other = taken.get(formatAddress(address));
    if (other === undefined) taken.set(formatAddress(address), name);
    else problems.push({ ...at('listen', name), message: `listen.${name} is the same address as listen.${other}` });
  }
  if (problems.length > 0 || store === null) throw new InvalidFileError(problems);

  return {
    store,
    listen: { postgres, mysql, api },
    tls,
    connections,
    users: value.identity.users,
    oidc: value.identity.oidc.map(oidcOf),
    saml,
    roles: value.identity.roles,
    approvals: {
      breakGlass: value.approvals.break_glass,
      url: value.approvals.url?.replace(/\/+$/, '') ?? null,
      channels,
    },
    longestCredentialMs: value.identity.credentials.longest,
    withoutTls: value.identity.without_tls ?? null,
    rules: value.rules.map((rule) => resolve(directory, rule)),
    recording: {
      directory: resolve(directory, value.recording.directory),
      redact: value.recording.redact,
      durability: value.recording.durability,
      key,
      export: exporters,
      retain:
        value.recording.retain === undefined
          ? null
          : { days: value.recording.retain.days ?? null, bytes: value.recording.retain.bytes ?? null },
      index: value.recording.index,
    },
    limits: {
      sessions: value.limits.sessions,
      logins: value.limits.logins,
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

async function exporterOf(
  exporter: ExportFileConfig,
  directory: string,
  secretOf: (reference: SecretReference) => Promise<string>,
): Promise<ExporterConfig> {
  const { name = exporter.to } = exporter;
  switch (exporter.to) {
    case 'jsonl':
      return { ...exporter, name, file: exporter.file === undefined ? null : resolve(directory, exporter.file) };
    case 'webhook': {
      const { secret, previous_secret: previous, to, url, format } = exporter;
      const secrets = [await secretOf(secret), ...(previous === undefined ? [] : [await secretOf(previous)])] as const;
      for (const text of secrets) parseWebhookSecret(text);
      return { to, name, url, format, secrets };
    }
    case 'syslog': {
      const pem = async (path: string | undefined) => (path === undefined ? null : readPem(resolve(directory, path)));
      const { ca, certificate, key, ...rest } = exporter;
      return { ...rest, name, ca: await pem(ca), certificate: await pem(certificate), key: await pem(key) };
    }
    case 'otlp': {
      const headers = await Promise.all(
        Object.entries(exporter.headers).map(async ([header, value]) => [header, await secretOf(value)] as const),
      );
      return { ...exporter, name, url: exporter.url.replace(/\/+$/, ''), headers: Object.fromEntries(headers) };
    }
    case 's3': {
      const { to, url, region, prefix, access_key_id: accessKeyId, lock = null, every: everyMs } = exporter;
      const secretAccessKey = await secretOf(exporter.secret_access_key);
      return { to, name, url, region, prefix, accessKeyId, secretAccessKey, lock, everyMs };
    }
  }
}

const sqliteStore = (file: string): StoreConfig => ({ kind: 'sqlite', file });

/** @throws Error that does not quote the text, which may have a password in it */
/** Where the store is. @throws Error if it is a secret that cannot be had, or no store */
export async function storeOf(
  { store, recording }: Pick<FileConfig, 'store' | 'recording'>,
  directory: string,
  environment: NodeJS.ProcessEnv,
): Promise<StoreConfig> {
  if (store === undefined) return sqliteStore(resolve(directory, recording.directory, 'sluice.db'));
  return storeAt(typeof store === 'string' ? store : await resolveSecret(store, directory, environment), directory);
}

function storeAt(text: string, directory: string): StoreConfig {
  if (text.startsWith('sqlite:')) return sqliteStore(resolve(directory, text.slice('sqlite:'.length)));
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || url.hostname === '' || url.pathname.length < 2) {
    throw new Error('store is not sqlite:PATH or postgres://USER@HOST/DATABASE');
  }
  return { kind: 'postgres', url: text };
}

const USUAL_PORTS = { postgres: 5432, mysql: 3306 } as const;

function warningsAbout(value: FileConfig): string[] {
  const warnings: string[] = [];
  const { postgres, mysql, api } = value.listen;
  for (const [name, address] of Object.entries({ postgres, mysql })) {
    if (address === undefined || isLoopback(address.host) || value.tls !== undefined) continue;
    warnings.push(
      `listen.${name} is ${formatAddress(address)}, reachable from other machines, and there is no tls: clients of other machines cannot log in.`,
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

function oidcOf({ claims, login, ...provider }: FileConfig['identity']['oidc'][number]): OidcConfig {
  const { subject, groups = null, kind = null, owner = null } = claims;
  return {
    ...provider,
    claims: { subject, groups, kind, owner },
    login:
      login === undefined
        ? null
        : { clientId: login.client_id, scopes: login.scopes, resource: login.resource ?? null },
  };
}

async function samlOf(
  { url, entity_id, idp, attributes, kind, longest }: NonNullable<FileConfig['identity']['saml']>,
  directory: string,
): Promise<SamlConfig> {
  return {
    url,
    entityId: entity_id ?? `${url}/api/v1/login/saml/metadata`,
    idp: {
      issuer: idp.issuer,
      signIn: idp.sign_in,
      certificate: await readAuthorities(resolve(directory, idp.certificate)),
    },
    attributes: { subject: attributes.subject ?? null, groups: attributes.groups ?? null },
    kind,
    longestMs: longest,
  };
}

async function readServerTls(tls: NonNullable<FileConfig['tls']>, directory: string): Promise<TlsConfig> {
  const { names, client_ca: clientCa, ...usual } = tls;
  return {
    ...(await readCertificate(usual, 'tls', directory)),
    names: await Promise.all(
      names.map(async ({ name, ...pair }, index) => ({
        name,
        ...(await readCertificate(pair, `tls.names[${index}]`, directory)),
      })),
    ),
    clientCa: clientCa === undefined ? null : await readAuthorities(resolve(directory, clientCa)),
  };
}

async function readCertificate(
  pair: { readonly certificate: string; readonly key: string },
  where: string,
  directory: string,
): Promise<{ certificate: string; key: string }> {
  const certificate = await readPem(resolve(directory, pair.certificate));
  const key = await readPem(resolve(directory, pair.key));
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    // OpenSSL's reason ("key values mismatch", "no start line") quotes neither.
    throw new Error(`${where}.certificate and ${where}.key cannot be used: ${(error as Error).message}`);
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
