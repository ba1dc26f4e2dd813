/**
 * What client and server agree on at the handshake (MySQL internals documentation, "Capabilities Flags"; MariaDB
 * knowledge base, "Connecting to the server"). Both sides use what both have.
 */

/** Capability flags: an unsigned 32-bit number. */
export const CLIENT = {
  /** CLIENT_LONG_PASSWORD. MariaDB calls it CLIENT_MYSQL: a side without it has {@link MARIADB_CLIENT} flags as well. */
  longPassword: 1 << 0,
  foundRows: 1 << 1,
  longFlag: 1 << 2,
  connectWithDb: 1 << 3,
  noSchema: 1 << 4,
  /** zlib, see compression.ts. */
  compress: 1 << 5,
  odbc: 1 << 6,
  localFiles: 1 << 7,
  ignoreSpace: 1 << 8,
  protocol41: 1 << 9,
  interactive: 1 << 10,
  ssl: 1 << 11,
  ignoreSigpipe: 1 << 12,
  transactions: 1 << 13,
  reserved: 1 << 14,
  /** CLIENT_SECURE_CONNECTION, CLIENT_RESERVED2: authentication data has a length. */
  secureConnection: 1 << 15,
  multiStatements: 1 << 16,
  multiResults: 1 << 17,
  psMultiResults: 1 << 18,
  pluginAuth: 1 << 19,
  connectAttrs: 1 << 20,
  pluginAuthLenencClientData: 1 << 21,
  canHandleExpiredPasswords: 1 << 22,
  sessionTrack: 1 << 23,
  deprecateEof: 1 << 24,
  optionalResultsetMetadata: 1 << 25,
  zstdCompressionAlgorithm: 1 << 26,
  queryAttributes: 1 << 27,
  multiFactorAuthentication: 1 << 28,
  capabilityExtension: 1 << 29,
  sslVerifyServerCert: 1 << 30,
  rememberOptions: 2 ** 31,
} as const;

/** MariaDB's extended capabilities: an unsigned 32-bit number of its own, bits 32 and on in MariaDB's documentation. */
export const MARIADB_CLIENT = {
  progress: 1 << 0,
  /** Reserved: was COM_MULTI. */
  comMulti: 1 << 1,
  stmtBulkOperations: 1 << 2,
  /** MARIADB_CLIENT_EXTENDED_METADATA: column definitions say more of the type. */
  extendedMetadata: 1 << 3,
  /** MARIADB_CLIENT_CACHE_METADATA: column definitions of a prepared statement are sent only when they change. */
  cacheMetadata: 1 << 4,
  bulkUnitResults: 1 << 5,
} as const;

/** Flags of both numbers. */
export interface Capabilities {
  readonly client: number;
  /** 0 unless this side has MariaDB's extended capabilities. */
  readonly mariadb: number;
}

/** What both have. */
export function agreed(left: Capabilities, right: Capabilities): Capabilities {
  return { client: (left.client & right.client) >>> 0, mariadb: (left.mariadb & right.mariadb) >>> 0 };
}

/** `SERVER_STATUS_*` flags of OK and EOF packets and of the greeting. */
export const SERVER_STATUS = {
  inTransaction: 1 << 0,
  autocommit: 1 << 1,
  moreResultsExist: 1 << 3,
  noGoodIndexUsed: 1 << 4,
  noIndexUsed: 1 << 5,
  cursorExists: 1 << 6,
  lastRowSent: 1 << 7,
  dbDropped: 1 << 8,
  noBackslashEscapes: 1 << 9,
  metadataChanged: 1 << 10,
  queryWasSlow: 1 << 11,
  /** The result set is the values of a procedure's OUT parameters. */
  psOutParams: 1 << 12,
  inReadOnlyTransaction: 1 << 13,
  sessionStateChanged: 1 << 14,
  /** MariaDB: SERVER_STATUS_ANSI_QUOTES. */
  ansiQuotes: 1 << 15,
} as const;
