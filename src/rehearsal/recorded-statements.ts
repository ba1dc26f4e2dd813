import type { Identity } from '../identity/identity.ts';
import { type JournalProblem, type JournalRecord, readRecords } from '../recording/read-records.ts';

/** A statement as the journal has it. */
export interface RecordedStatement {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly text: string;
  readonly identity: Identity;
  readonly connection: string;
  /** `''` where the text could not be read. */
  readonly fingerprint: string;
  /** The verdict then. */
  readonly verdict: 'allow' | 'hold' | 'deny';
  /** Bind values as text; `null` for NULL. */
  readonly binds: readonly (string | null)[];
  /** What the client said of this execution besides its text. */
  readonly claimed: Readonly<Record<string, string>>;
}

export interface RecordedTraffic {
  /** Attempts that are about no text: calls by the function call message. */
  readonly without: number;
  readonly problems: readonly JournalProblem[];
}

/** Which of the recorded statements are meant. Times are milliseconds since 1970. */
export interface RecordedScope {
  /** Of journals: of one node, or of several. */
  readonly journals: readonly string[];
  readonly since: number;
  /** Only what was recorded before; `null` for everything since. */
  readonly until?: number | null;
  /** Only what this subject sent; `null` for everybody's. */
  readonly identity?: string | null;
}

/**
 * Gives every attempt that is meant to `take`, one after the other, journal by journal, oldest first. Memory does not grow
 * with the journals.
 *
 * Rejects with the error of the file system if a journal cannot be read.
 */
export async function readStatements(
  { journals, since, until = null, identity = null }: RecordedScope,
  take: (statement: RecordedStatement) => Promise<void>,
): Promise<RecordedTraffic> {
  const problems: JournalProblem[] = [];
  let without = 0;
  const reading = {
    problem: (problem: JournalProblem) => problems.push(problem),
    record: (record: JournalRecord) => {
      if (record.event !== 'statement.attempt' || record.at < since || (until !== null && record.at >= until)) return;
      if (identity !== null && identityOf(record.fields.identity)?.subject !== identity) return;
      const statement = statementIn(record);
      if (statement !== null) return take(statement);
      without += 1;
    },
  };
  for (const directory of journals) await readRecords(directory, reading);
  return { without, problems };
}

const KINDS: readonly string[] = ['human', 'agent', 'service'];
const VERDICTS: readonly string[] = ['allow', 'hold', 'deny'];

function statementIn({ at, fields }: JournalRecord): RecordedStatement | null {
  const { text, connection, fingerprint, verdict, binds, claimed, via } = fields;
  const identity = identityOf(fields.identity);
  if (identity === null || typeof text !== 'string' || typeof connection !== 'string' || via === 'function call') {
    return null;
  }
  if (typeof verdict !== 'string' || !VERDICTS.includes(verdict)) return null;
  return {
    at,
    text,
    identity,
    connection,
    fingerprint: typeof fingerprint === 'string' ? fingerprint : '',
    verdict: verdict as RecordedStatement['verdict'],
    binds: Array.isArray(binds) ? binds.map((value) => (typeof value === 'string' ? value : null)) : [],
    claimed: claimsOf(claimed),
  };
}

function claimsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter(([, said]) => typeof said === 'string'));
}

function identityOf(value: unknown): Identity | null {
  if (typeof value !== 'object' || value === null) return null;
  const { subject, kind, groups } = value as Record<string, unknown>;
  if (typeof subject !== 'string' || typeof kind !== 'string' || !KINDS.includes(kind)) return null;
  const names = Array.isArray(groups) ? groups.filter((name) => typeof name === 'string') : [];
  return { subject, kind: kind as Identity['kind'], groups: names };
}
