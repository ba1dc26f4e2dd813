import { type Capabilities, CLIENT, MARIADB_CLIENT } from '../../../protocols/mysql/capabilities.ts';
import { encodePackets } from '../../../protocols/mysql/framing.ts';
import { lenencBytes } from '../../../protocols/mysql/payload-fields.ts';
import {
  COLUMN_FLAG,
  encodeColumnDefinition,
  encodeEof,
  encodeOk,
  encodeResultSetHeader,
  FIELD_TYPE,
  RESPONSE,
} from '../../../protocols/mysql/responses.ts';
import type { StatementFacts } from '../../statements/facts.ts';
import type { JudgedStatement } from '../judge.ts';
import type { Refusal } from '../refusal.ts';

/**
 * SHOW WARNINGS and its like: what is said about the last statement. Where that was refused here the server knows nothing
 * of it; where its words may quote masked values, they are not for the client.
 */

/** True if the statement asks what the server has to say about the one before it. */
export function asksForDiagnostics({ effects }: StatementFacts): boolean {
  return effects.some(
    ({ effect, object }) =>
      effect === 'read' &&
      ((object?.kind === 'other' && (object.name === 'show warnings' || object.name === 'diagnostics')) ||
        (object?.kind === 'setting' && (object.name === 'warning_count' || object.name === 'error_count'))),
  );
}

/** True if a statement of a text asks about one before it whose messages are withheld: then the text cannot run. */
export function asksForWithheld(statements: readonly JudgedStatement[], withheldBefore: boolean): boolean {
  let withholds = withheldBefore;
  for (const { facts, withholdsMessages } of statements) {
    if (withholds && asksForDiagnostics(facts)) return true;
    withholds ||= withholdsMessages;
  }
  return false;
}

/**
 * True for questions about the statement before that mean the same however text is read: letters and a few signs that no
 * sql_mode or character set reads differently.
 */
export function asksAboutTheLast(text: string): boolean {
  return text.length <= 100 && ABOUT_THE_LAST.test(text);
}

const VALUE = String.raw`(?:(?:row_count|found_rows|last_insert_id)\(\)|@@(?:session\.)?(?:warning|error)_count)`;
const ABOUT_THE_LAST = new RegExp(
  String.raw`^\s*(?:select\s+${VALUE}(?:\s+as\s+\w+)?|show\s+(?:count\(\*\)\s+)?(?:warnings|errors))\s*;?\s*$`,
  'i',
);

/** What a SHOW WARNINGS or SHOW ERRORS wants to see. */
export interface DiagnosticsQuestion {
  readonly counts: boolean;
  readonly errorsOnly: boolean;
  readonly offset: number;
  readonly limit: number;
}

/** `null` for what is neither SHOW WARNINGS nor SHOW ERRORS. Comments may stand around it, and nothing in it matters but its words. */
export function diagnosticsQuestion(text: string): DiagnosticsQuestion | null {
  const words = text.replace(/\/\*.*?\*\//gs, ' ').replace(/(--\s|#).*$/gm, ' ');
  const match =
    /^\s*show\s+(count\s*\(\s*\*\s*\)\s*)?(warnings|errors)(?:\s+limit\s+(\d+)(?:\s*(,|offset)\s*(\d+))?)?[\s;]*$/i.exec(
      words,
    );
  if (match === null) return null;
  const [, counts, what, first, separator, second] = match;
  return {
    counts: counts !== undefined,
    errorsOnly: what!.toLowerCase() === 'errors',
    offset: Number((separator === ',' ? first : second) ?? 0),
    limit: Number((separator === ',' ? second : first) ?? Number.POSITIVE_INFINITY),
  };
}

type Row = readonly [level: 'Error' | 'Note', code: number, message: string];

const WITHHELD: Row = [
  'Note',
  1105,
  'The messages about the statement are withheld: they can quote values that are masked.',
];

/**
 * The result set that answers the question.
 *
 * @param refused why the last statement was refused; `null` if the server's words about it are withheld
 * @param status SERVER_STATUS flags of the session
 * @param sequence of the first packet
 */
export function encodeDiagnostics(
  question: DiagnosticsQuestion,
  refused: (Refusal & { readonly errno: number }) | null,
  capabilities: Capabilities,
  status: number,
  sequence: number,
): Buffer {
  const all: readonly Row[] =
    refused === null
      ? [WITHHELD]
      : [
          ['Error', refused.errno, refused.message],
          ['Note', 1105, refused.detail],
          ['Note', 1105, refused.hint],
        ];
  const rows = all.filter(([level]) => !question.errorsOnly || level === 'Error');
  if (question.counts) {
    const name = question.errorsOnly ? '@@session.error_count' : '@@session.warning_count';
    return resultSet([[name, FIELD_TYPE.longlong]], [[String(rows.length)]], capabilities, status, sequence);
  }
  const shown = rows.slice(question.offset, question.offset + question.limit);
  return resultSet(
    [
      ['Level', FIELD_TYPE.varString],
      ['Code', FIELD_TYPE.long],
      ['Message', FIELD_TYPE.varString],
    ],
    shown.map((row) => row.map(String)),
    capabilities,
    status,
    sequence,
  );
}

const UTF8MB4 = 45;
const BINARY = 63;

/** A text result set. */
function resultSet(
  columns: readonly (readonly [name: string, type: number])[],
  rows: readonly (readonly string[])[],
  capabilities: Capabilities,
  status: number,
  sequence: number,
): Buffer {
  const deprecatesEof = (capabilities.client & CLIENT.deprecateEof) !== 0;
  const isExtended = (capabilities.mariadb & MARIADB_CLIENT.extendedMetadata) !== 0;
  const payloads = [encodeResultSetHeader({ columns: columns.length, metadataFollows: true }, capabilities)];
  for (const [name, type] of columns) {
    const isText = type === FIELD_TYPE.varString;
    payloads.push(
      encodeColumnDefinition(
        {
          catalog: 'def',
          schema: '',
          table: '',
          orgTable: '',
          name,
          orgName: '',
          extendedMetadata: isExtended ? new Map() : null,
          characterSet: isText ? UTF8MB4 : BINARY,
          columnLength: isText ? 2048 : 21,
          type,
          flags: isText ? 0 : COLUMN_FLAG.unsigned | COLUMN_FLAG.binary,
          decimals: 0,
        },
        capabilities,
      ),
    );
  }
  if (!deprecatesEof) payloads.push(encodeEof({ warnings: 0, status }));
  for (const row of rows) payloads.push(Buffer.concat(row.map(lenencBytes)));
  payloads.push(
    deprecatesEof
      ? encodeOk(
          {
            header: RESPONSE.eof,
            affectedRows: 0n,
            lastInsertId: 0n,
            status,
            warnings: 0,
            info: '',
            sessionState: null,
          },
          capabilities,
        )
      : encodeEof({ warnings: 0, status }),
  );
  return Buffer.concat(payloads.map((payload, i) => encodePackets(payload, (sequence + i) & 0xff)));
}
