import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { type Err, encodeErr } from '../../../protocols/mysql/responses.ts';
import type { Refusal } from '../refusal.ts';

/** Error numbers and SQLSTATEs of MySQL (Server Error Message Reference) for the SQLSTATEs the gateway works with. */
const IN_MYSQL: Readonly<Record<string, readonly [code: number, sqlState: string]>> = {
  // ER_TABLEACCESS_DENIED_ERROR
  '42501': [1142, '42000'],
  // ER_USER_LIMIT_REACHED
  '53400': [1226, '42000'],
  // ER_DISK_FULL
  '53100': [1021, 'HY000'],
  '58030': [1021, 'HY000'],
  // ER_UNKNOWN_CHARACTER_SET
  '22023': [1115, '42000'],
  // ER_PARSE_ERROR
  '42601': [1064, '42000'],
  // ER_UNKNOWN_COM_ERROR
  '0A000': [1047, '08S01'],
  // ER_SERVER_SHUTDOWN
  '57P01': [1053, '08S01'],
  // ER_CLIENT_INTERACTION_TIMEOUT
  '57P05': [4031, 'HY000'],
  // ER_QUERY_INTERRUPTED
  '57014': [1317, '70100'],
  // ER_CONNECTION_KILLED
  '70100': [1927, '70100'],
  // ER_MALFORMED_PACKET
  '08P01': [1835, 'HY000'],
  // CR_SERVER_LOST: the number drivers know for a server that has gone away
  '08006': [2013, 'HY000'],
};
/** ER_UNKNOWN_ERROR */
const UNKNOWN = [1105, 'HY000'] as const;

/** An error as MySQL says it. @param code SQLSTATE */
export function errorFor(code: string, message: string): Err {
  const [number, sqlState] = IN_MYSQL[code] ?? UNKNOWN;
  return { code: number, sqlState, message };
}

/** The refusal with the SQLSTATE and error number that MySQL clients are told. */
export function inMysql(refusal: Refusal): Refusal & { readonly errno: number } {
  const [errno, code] = IN_MYSQL[refusal.code] ?? UNKNOWN;
  return { ...refusal, code, errno };
}

/** The packet of an error. */
export function errorPacket(error: Err, sequence: number): Buffer {
  return encodePackets(encodeErr(error), sequence);
}

/**
 * Errors whose words are about the statement's text, privileges, locks or time: they come before a row is looked at, or whatever
 * is in the rows, and quote names and the text at most.
 */
const TELLS_NO_VALUE: ReadonlySet<number> = new Set([
  1044, 1046, 1049, 1051, 1052, 1054, 1055, 1064, 1066, 1093, 1109, 1111, 1136, 1140, 1142, 1143, 1146, 1149, 1176,
  1191, 1205, 1213, 1222, 1234, 1235, 1241, 1247, 1248, 1253, 1267, 1271, 1305, 1317, 1318, 1370, 1582, 1630, 1969,
  3024, 4031,
]);

/** True if a server's error with this number can quote a value that is stored. */
export function mayQuoteValues(code: number): boolean {
  return !TELLS_NO_VALUE.has(code);
}

/** What is left of a server's error whose words may quote masked values: that it happened, and of what class it is. */
export function withheldError({ code, sqlState }: Err): Err {
  return {
    code,
    sqlState,
    message:
      'The statement failed; the words of the server are withheld, because they can quote values that are masked.',
  };
}

/** What a server says of a prepared statement that it does not know: ER_UNKNOWN_STMT_HANDLER. */
export function unknownStatement(id: number): Err {
  const message = `Unknown prepared statement handler (${id}) given to mysqld_stmt_execute`;
  return { code: 1243, sqlState: 'HY000', message };
}
