import { type Capabilities, CLIENT } from '../../../protocols/mysql/capabilities.ts';
import { encodeComQuery } from '../../../protocols/mysql/parameters.ts';
import { PayloadReader } from '../../../protocols/mysql/payload-reader.ts';
import type { SessionPins } from '../../policy/session-rules.ts';
import type { Flavour } from '../../statements/mysql/server.ts';
import { REPORTED } from './text-reading.ts';

/** A statement of our own. */
export function ownQuery(text: string, capabilities: Capabilities): Buffer {
  return encodeComQuery({ attributes: [], text: Buffer.from(text, 'utf8') }, capabilities);
}

/** Statements a session begins with, and again after COM_RESET_CONNECTION, to be sent one after the other. */
export interface Setup {
  /** Before the session's state is asked for. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

export const NO_SETUP: Setup = { before: [], after: [] };

/**
 * The session is pinned to what its rules say, and the upstream reports what changes in how it reads text. That a SET comes
 * last leaves ROW_COUNT() as it is in a session that has not run anything.
 *
 * @param capabilities of the upstream connection
 */
export function setupOf(flavour: Flavour, capabilities: Capabilities, pins: SessionPins): Setup {
  const reports = (capabilities.client & CLIENT.sessionTrack) !== 0;
  return { before: pinning(flavour, pins), after: reports ? [REPORT_CHANGES] : [] };
}

const REPORT_CHANGES = `SET SESSION session_track_schema = ON, session_track_system_variables = '${REPORTED.join(',')}'`;

function pinning(flavour: Flavour, pins: SessionPins): string[] {
  const statements: string[] = [];
  if (pins.readOnly) statements.push('SET SESSION TRANSACTION READ ONLY');
  if (pins.statementTimeoutMs !== null) {
    statements.push(
      flavour === 'mariadb'
        ? `SET SESSION max_statement_time = ${pins.statementTimeoutMs / 1000}`
        : `SET SESSION max_execution_time = ${pins.statementTimeoutMs}`,
    );
  }
  if (pins.role !== null) statements.push(`SET ROLE ${quoteName(pins.role)}`);
  for (const [name, value] of pins.settings) {
    statements.push(`SET SESSION ${quoteName(name)} = ${quoteValue(value)}`);
  }
  return statements;
}

/** Without a string in it: it reads the same in every sql_mode and character set. */
const NAME = 'DATABASE()';
const ROLE = 'CURRENT_ROLE()';
export const ASK_STATE = `SELECT ${REPORTED.map((name) => `@@SESSION.${name}`).join(', ')}, HEX(CONVERT(${NAME} USING utf8mb4)), @@lower_case_table_names, HEX(CONVERT(${ROLE} USING utf8mb4))`;

/** The state of a session that decides what its texts mean. */
export interface SessionState {
  /** Values of {@link REPORTED}, in its order. */
  readonly settings: readonly (string | null)[];
  /** `null` if there is none. */
  readonly database: string | null;
  readonly foldsNames: boolean;
  /** The roles whose rights it has besides those of its user, as the server writes them; `null` for none. */
  readonly role: string | null;
}

/** @param row the row that answers {@link ASK_STATE} */
export function stateOf(row: Buffer): SessionState {
  const reader = new PayloadReader('row', row);
  const settings = REPORTED.map(() => reader.lenencBytesOrNull()?.toString('latin1') ?? null);
  const database = reader.lenencBytesOrNull();
  const folds = reader.lenencBytesOrNull();
  const role = reader.lenencBytesOrNull();
  return {
    settings,
    database: hexText(database),
    foldsNames: folds?.toString('latin1') !== '0',
    role: hexText(role),
  };
}

/** The columns of a row in which every text is in hexadecimal digits of UTF-8. */
export function textsOf(row: Buffer, columns: number): (string | null)[] {
  const reader = new PayloadReader('row', row);
  return Array.from({ length: columns }, () => hexText(reader.lenencBytesOrNull()));
}

function hexText(digits: Buffer | null): string | null {
  return digits === null ? null : Buffer.from(digits.toString('latin1'), 'hex').toString('utf8');
}

export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

function quoteValue(value: string): string {
  if (/^-?\d+(\.\d+)?$/.test(value)) return value;
  // In this form there is nothing that a sql_mode could read differently.
  return `CONVERT(x'${Buffer.from(value, 'utf8').toString('hex')}' USING utf8mb4)`;
}
