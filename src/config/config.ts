/**
 * What the rest of Sluice reads from sluice.yaml: checked, with defaults filled in, secrets resolved and every path
 * absolute. The file's own shape is in `schema.ts`, reading it in `load.ts`.
 */

import type { WebhookSecret } from '../../protocols/webhooks/standard-webhooks.ts';
import type { Notice } from './approval-notices.ts';
import type { Redaction } from './redaction.ts';

/** Where to listen or connect. `host` is a name or an address without brackets; `port` 0 lets the system choose. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** How much of the upstream's TLS certificate is checked; the words are libpq's `sslmode`. */
export type UpstreamTls = 'disable' | 'require' | 'verify-ca' | 'verify-full';

export interface UpstreamConfig {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** `null` where the upstream asks for no password. */
  readonly password: string | null;
  readonly tls: UpstreamTls;
  /** PEM text of the authorities to trust; `null` for those Node ships. */
  readonly ca: string | null;
}

/** The wire protocol of a connection; `mysql` is MariaDB's as well. */
export type Protocol = 'postgres' | 'mysql';

export interface ConnectionConfig {
  readonly name: string;
  readonly protocol: Protocol;
  readonly upstream: UpstreamConfig;
  /** The verdict where no rule matches. */
  readonly default: 'allow' | 'hold' | 'deny';
}

export interface UserConfig {
  readonly name: string;
  readonly kind: 'human' | 'agent' | 'service';
  readonly groups: readonly string[];
  /** Who answers for it. */
  readonly owner?: string | undefined;
  /** `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, as PostgreSQL keeps it in pg_authid.rolpassword. */
  readonly scram?: string | undefined;
  /** `$A$005$...`, as MySQL keeps it in mysql.user.authentication_string for caching_sha2_password. */
  readonly mysql?: string | undefined;
  /** `*` and 40 hexadecimal digits, as for mysql_native_password. */
  readonly mysql_native?: string | undefined;
  /** Names of client certificates, as in ClientCertificate; it logs in with one of them, and its password if it has one. */
  readonly certificates?: readonly string[] | undefined;
}

/** Who logs in by this name brings a token as the password. So which names are users of Sluice's own cannot be told apart. */
export const TOKEN_USER = 'oidc';
/** Who logs in by this name brings a token by the SASL mechanism OAUTHBEARER. */
export const BEARER_USER = 'oauth';

/** An OpenID provider whose tokens are accepted as passwords. */
export interface OidcConfig {
  readonly issuer: string;
  /** A token has to be for one of them. */
  readonly audience: readonly string[];
  /** Which claims say what, as dotted paths; `null` where none does. */
  readonly claims: {
    readonly subject: string;
    readonly groups: string | null;
    readonly kind: string | null;
    readonly owner: string | null;
  };
  /** What a token's identity is where no claim says it. */
  readonly kind: 'human' | 'agent' | 'service';
  /** Claims a token must have, each with one of these values. */
  readonly require: Readonly<Record<string, readonly string[]>>;
  /** How `sluice login` gets tokens there; `null` if it does not. */
  readonly login: {
    readonly clientId: string;
    readonly scopes: readonly string[];
    /** What the token is asked for (RFC 8707); `null` where the provider is not told. */
    readonly resource: string | null;
  } | null;
}

/** A SAML 2.0 identity provider at which people log in to Sluice. */
export interface SamlConfig {
  /** Where browsers reach the API, without a slash at its end. */
  readonly url: string;
  /** Sluice's own name at the provider, which assertions have to be for. */
  readonly entityId: string;
  readonly idp: {
    readonly issuer: string;
    readonly signIn: string;
    /** PEM text. */
    readonly certificate: string;
  };
  /** Which attributes say what; `null`: the NameID is the subject, and there are no groups. */
  readonly attributes: { readonly subject: string | null; readonly groups: string | null };
  readonly kind: 'human' | 'agent' | 'service';
  /** Longest life of a login, milliseconds. */
  readonly longestMs: number;
}

/** What an identity may do at the HTTP API besides what is its own business. */
export type Role = 'viewer' | 'approver' | 'auditor' | 'admin';

/** Where control data is kept: credentials, revocations, the inventory. */
export type StoreConfig =
  | { readonly kind: 'sqlite'; readonly file: string }
  /** `url` may have a password in it. */
  | { readonly kind: 'postgres'; readonly url: string };

/** TLS towards clients; PEM texts. */
export interface TlsConfig {
  readonly certificate: string;
  readonly key: string;
  /** Other certificates for clients that ask for these names; `*` may stand for the first label. */
  readonly names: readonly { readonly name: string; readonly certificate: string; readonly key: string }[];
  /** Authorities whose certificates clients may log in with; `null` where clients are asked for none. */
  readonly clientCa: string | null;
}

interface AnyExporter {
  /** Unique among the exporters. */
  readonly name: string;
}

export interface JsonlExporter extends AnyExporter {
  readonly to: 'jsonl';
  /** Absolute path; `null` for standard output. */
  readonly file: string | null;
  readonly format: ExportFormat;
}

/** What records are written as: lines of JSON. */
export type ExportFormat = 'sluice' | 'ocsf';
/** What events are written as. */
export type EventFormat = ExportFormat | 'cef';

export interface SyslogExporter extends AnyExporter {
  readonly to: 'syslog';
  readonly address: Address;
  readonly transport: 'tls' | 'tcp';
  /** PEM text of the authorities to trust; `null` for those Node ships. */
  readonly ca: string | null;
  /** PEM texts of the certificate Sluice shows and its key; `null` for none. */
  readonly certificate: string | null;
  readonly key: string | null;
  readonly format: EventFormat;
}

export interface OtlpExporter extends AnyExporter {
  readonly to: 'otlp';
  /** Without a slash at its end, and without `/v1/logs`. */
  readonly url: string;
  readonly logs: boolean;
  readonly traces: boolean;
  /** Of requests; their values are secret. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface WebhookExporter extends AnyExporter {
  readonly to: 'webhook';
  readonly url: string;
  /** `whsec_...`; the newest first. */
  readonly secrets: readonly [string, ...string[]];
  readonly format: ExportFormat;
}

export interface S3Exporter extends AnyExporter {
  readonly to: 's3';
  /** Of the bucket. */
  readonly url: string;
  readonly region: string;
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** `null` where objects are not kept from being removed. */
  readonly lock: { readonly mode: 'governance' | 'compliance'; readonly days: number } | null;
  /** After so long a segment that is not full is closed, milliseconds. */
  readonly everyMs: number;
}

/** How much of the journal is kept; at least one of them is not `null`. */
export interface RetentionConfig {
  readonly days: number | null;
  readonly bytes: number | null;
}

/** Where records are brought to; as plain data, since it goes to a thread. */
export type ExporterConfig = JsonlExporter | WebhookExporter | S3Exporter | SyslogExporter | OtlpExporter;

interface AnyChannel {
  /** Unique among the channels. */
  readonly name: string;
  /** Names of connections whose requests it is told of; `null` for all. */
  readonly connections: readonly string[] | null;
}

/** A program that is told of requests for approval. */
export interface WebhookChannelConfig extends AnyChannel {
  readonly to: 'webhook';
  readonly url: string;
  /** It is signed with each of them. */
  readonly secrets: readonly [WebhookSecret, ...WebhookSecret[]];
  /** Which events it is told of. */
  readonly events: readonly Notice[];
  /** With statements, their values, and what clients say of themselves. */
  readonly statements: boolean;
}

/** A conversation in Slack, and an app that posts there. */
export interface SlackChannelConfig extends AnyChannel {
  readonly to: 'slack';
  /** Slack's ids of the workspace and of the conversation. */
  readonly team: string;
  readonly conversation: string;
  readonly botToken: string;
  readonly signingSecret: string;
  /** Where its Web API is, without a slash at its end. */
  readonly api: string;
  /** True if everybody in the conversation may see statements and their values. */
  readonly statements: boolean;
  /** Whose subjects are the e-mail addresses that people have in Slack; `null` where no provider's are. */
  readonly emailIssuer: string | null;
  /** Who somebody in Slack is, by their id there. */
  readonly users: ReadonlyMap<string, { readonly issuer: string | null; readonly subject: string }>;
  /** How long after their last login at Sluice people of providers may vote from Slack, milliseconds. */
  readonly loginWithinMs: number;
}

export type ApprovalChannelConfig = WebhookChannelConfig | SlackChannelConfig;

export interface Limits {
  /** Most sessions at once; further ones are refused. */
  readonly sessions: number;
  /** Most clients that may be logging in at once; further ones are refused, and those of one address from half of it on. */
  readonly logins: number;
  /** Time a client has from connect to the end of authentication, milliseconds. */
  readonly handshakeMs: number;
  /** Time a session may be silent, milliseconds; 0 for no limit. */
  readonly idleMs: number;
  /** Longest message a client may send, bytes. */
  readonly messageBytes: number;
  /** Time a drain waits for transactions to end, milliseconds. */
  readonly drainMs: number;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

export interface Config {
  /** `null` for what is not served. */
  readonly listen: { readonly [Served in Protocol | 'api']: Address | null };
  /** `null` where clients are served without TLS. */
  readonly tls: TlsConfig | null;
  readonly connections: readonly ConnectionConfig[];
  readonly users: readonly UserConfig[];
  readonly oidc: readonly OidcConfig[];
  readonly saml: SamlConfig | null;
  /** The groups that have each role. */
  readonly roles: { readonly [Name in Role]: readonly string[] };
  readonly approvals: {
    /** Groups whose members may approve alone in an emergency. */
    readonly breakGlass: readonly string[];
    /** Where people find requests, without a slash at its end; `null` where nowhere. */
    readonly url: string | null;
    readonly channels: readonly ApprovalChannelConfig[];
  };
  /** How long a short-lived credential may live, milliseconds. */
  readonly longestCredentialMs: number;
  /** Which clients may log in without TLS; `null` for none. */
  readonly withoutTls: 'loopback' | null;
  /** Rule files, absolute paths, in the order of the file. */
  readonly rules: readonly string[];
  readonly recording: {
    /** Ed25519, PKCS #8 in PEM; `null` for one that is kept beside the journal. */
    readonly key: string | null;
    readonly directory: string;
    readonly redact: Redaction;
    readonly durability: 'process' | 'disk';
    readonly export: readonly ExporterConfig[];
    /** `null` where nothing is removed. */
    readonly retain: RetentionConfig | null;
    /** True if records are indexed, to be searched. */
    readonly index: boolean;
  };
  readonly store: StoreConfig;
  readonly limits: Limits;
  readonly log: { readonly level: LogLevel };
  /** The file this was read from, absolute. */
  readonly file: string;
  /** What is allowed but deserves a look, one sentence each. */
  readonly warnings: readonly string[];
}
