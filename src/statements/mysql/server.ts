/** Which server reads the text, and how its session is set to read it. */

export type Flavour = 'mysql' | 'mariadb';

export interface MysqlServer {
  readonly flavour: Flavour;
  /** As executable comments write it: 80036 for MySQL 8.0.36, 101106 for MariaDB 10.11.6. */
  readonly version: number;
  /** `lower_case_table_names` is not 0: names of tables and databases that differ only in case are the same. */
  readonly foldsNames: boolean;
}

/**
 * Reads a version as servers report it: `8.0.36`, `10.11.6-MariaDB-0+deb12u1`, `5.5.5-10.11.6-MariaDB` (what MariaDB says
 * in its handshake). Throws a RangeError if it is none: without the version an executable comment cannot be read.
 */
export function readServer(flavour: Flavour, version: string, foldsNames = false): MysqlServer {
  const own = flavour === 'mariadb' && version.startsWith('5.5.5-') ? version.slice('5.5.5-'.length) : version;
  const parts = /^(\d{1,2})\.(\d{1,2})\.(\d{1,2})(?!\d)/.exec(own);
  if (parts === null) throw new RangeError(`not a version of ${flavour}: ${version}`);
  const number = Number(parts[1]) * 10_000 + Number(parts[2]) * 100 + Number(parts[3]);
  return { flavour, version: number, foldsNames };
}

/** What of `sql_mode` decides how text is read. */
export interface MysqlModes {
  /** `"x"` is a name, not a string. */
  readonly ansiQuotes: boolean;
  /** A backslash in a string is a character like any other. */
  readonly noBackslashEscapes: boolean;
  /** `||` joins strings instead of meaning OR. */
  readonly pipesAsConcat: boolean;
  /** White space may stand between a built-in function's name and its parenthesis. */
  readonly ignoreSpace: boolean;
  /** MariaDB's ORACLE mode: another grammar, which Sluice does not read. */
  readonly oracle: boolean;
}

/** What of a session's state decides how its text is read and which tables its names mean. */
export interface MysqlLexingState extends MysqlModes {
  /** The default database, that unqualified names are in; `null` if there is none or it is not known. */
  readonly database: string | null;
}

/** The modes that stand for several; servers report them with their parts, clients may set them alone. */
const COMBINATIONS = new Set(['ANSI', 'DB2', 'MAXDB', 'MSSQL', 'ORACLE', 'POSTGRESQL']);

/** @param sqlMode the value of `@@sql_mode`: modes with commas between them */
export function lexingStateOf(sqlMode: string, database: string | null): MysqlLexingState {
  const modes = new Set(sqlMode.split(',').map((mode) => mode.trim().toUpperCase()));
  const combined = [...modes].some((mode) => COMBINATIONS.has(mode));
  return {
    ansiQuotes: combined || modes.has('ANSI_QUOTES'),
    noBackslashEscapes: modes.has('NO_BACKSLASH_ESCAPES'),
    pipesAsConcat: combined || modes.has('PIPES_AS_CONCAT'),
    ignoreSpace: combined || modes.has('IGNORE_SPACE'),
    oracle: modes.has('ORACLE'),
    database,
  };
}
