import type { StatementFacts } from '../../statements/facts.ts';
import type { JudgedStatement } from '../judge.ts';
import type { Refusal } from '../refusal.ts';
import { type AnswerContext, encodeResultSet } from './result-sets.ts';

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
 */
export function encodeDiagnostics(
  question: DiagnosticsQuestion,
  refused: (Refusal & { readonly errno: number }) | null,
  context: AnswerContext,
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
    return encodeResultSet([[name, 'longlong']], [[String(rows.length)]], false, context);
  }
  const shown = rows.slice(question.offset, question.offset + question.limit);
  return encodeResultSet(
    [
      ['Level', 'varString'],
      ['Code', 'long'],
      ['Message', 'varString'],
    ],
    shown.map((row) => row.map(String)),
    false,
    context,
  );
}
