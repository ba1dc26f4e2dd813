import { createHash } from 'node:crypto';
import type { Identity } from '../identity/identity.ts';
import type { Approval, ApprovalStage } from '../policy/approval.ts';
import type { Impact } from './impact.ts';

/**
 * What an approval is for. If any of it differs, so does the request: an approval of one statement is never one of another.
 */
export interface Binding {
  readonly issuer: string;
  readonly subject: string;
  readonly connection: string;
  readonly database: string;
  /** The role the session acts as, where the dialect has such; empty otherwise. */
  readonly role: string;
  /** The schemas in which unqualified names are looked for; for MySQL, the default database. */
  readonly path: readonly string[];
  /** What of the session decides how its text is read. */
  readonly reading: string;
  /** Version of the rules. */
  readonly rules: string;
  /** The statement, without what is only claimed about it; see {@link canonicalText}. */
  readonly statement: string;
  /** Bind values with their types, as JSON text; `null` where there are none. */
  readonly binds: string | null;
  /** What else decides what it does, and whose it is, as one hash; see `questionAbout`. */
  readonly meaning: string;
}

/** What can be asked of the server about a statement without running it. Values are in it as literals. */
export interface Preview {
  /** The statement itself, for EXPLAIN; `null` if its values cannot be written. */
  readonly statement: string | null;
  /** Counts the rows that it would change; `null` where there is no such query. */
  readonly counting: string | null;
  /** Shows the rows that it is about, without a limit; `null` where there is no such query. */
  readonly sampling: string | null;
  /** What it changes, as it is written; `null` if that is not one table. */
  readonly target: {
    readonly schema: string | null;
    readonly name: string;
    readonly change: 'update' | 'delete';
  } | null;
  /** `SET` of a session that reads the text in the same way. */
  readonly sqlMode: string;
  /** How the session reads dates and times, by the names of its settings. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Everything that a session knows about a statement that has to wait. */
export interface Question {
  readonly binding: Binding;
  readonly identity: Identity;
  readonly session: string;
  readonly kind: string;
  /** Equal for statements that differ only in literals; empty if it could not be read. */
  readonly fingerprint: string;
  readonly rule: string;
  readonly message: string;
  readonly effects: readonly string[];
  readonly approvals: readonly Approval[];
  /** What the client says about itself and the statement. */
  readonly claimed: Readonly<Record<string, string>>;
  /** True if a transaction is open, and what it has locked stays locked while the statement waits. */
  readonly inTransaction: boolean;
  /** What is run, in a transaction that only reads, to find out what it would do. */
  readonly preview: Preview;
  /** Why it could not be undone should it change more rows than were approved; `null` if it could. */
  readonly unguarded: string | null;
}

/**
 * - `pending`: votes are awaited.
 * - `approved`: the statement may run once it is sent again, or runs at once where its client waits.
 * - `used`: it ran, and needs another approval to run again.
 * - `rejected`, `expired`: it will not run.
 * - `withdrawn`: its client cancelled it or went away.
 */
export type RequestState = 'pending' | 'approved' | 'used' | 'rejected' | 'expired' | 'withdrawn';

/** A statement that waits, or waited, for approval. Times are milliseconds since the epoch. */
export interface ApprovalRequest {
  /** The ticket. */
  readonly id: number;
  readonly question: Question;
  /** All of them are needed: those of every rule that holds the statement. */
  readonly stages: readonly ApprovalStage[];
  readonly grant: Approval['grant'];
  readonly grantForMs: number | null;
  readonly tolerancePercent: number;
  readonly state: RequestState;
  /** Why it is in that state, in the words of who put it there. */
  readonly reason: string | null;
  readonly createdAt: number;
  /** Nobody can vote, and nothing can be collected, after that. */
  readonly expiresAt: number;
  readonly decidedAt: number | null;
  readonly impact: Impact | null;
  readonly votes: readonly Vote[];
  /** Who looked, later, at what was approved by breaking the glass; `null` if nobody has. */
  readonly review: { readonly by: string; readonly at: number; readonly note: string } | null;
  /** How many events of it channels were to be told of. */
  readonly events: number;
}

export interface Vote {
  readonly issuer: string;
  readonly subject: string;
  /** Groups of the voter, and of those whose place is taken, at that time. */
  readonly groups: readonly string[];
  /** Subjects, besides the own one, in whose place it was given. */
  readonly onBehalfOf: readonly string[];
  readonly isApprover: boolean;
  readonly decision: 'approve' | 'reject' | 'break-glass';
  readonly reason: string;
  /** `api`, `cli`, `slack`, `console`. */
  readonly channel: string;
  readonly at: number;
  /** True if rows that could have been counted were not: then nobody has said how many it may change. */
  readonly isUncounted: boolean;
}

/** Why nothing undoes what changes more rows than the approvers were told, in words for them; `null` if that is undone. */
export function whyUnguarded({
  question,
  impact,
  grant,
}: Pick<ApprovalRequest, 'question' | 'impact' | 'grant'>): string | null {
  if (question.unguarded !== null) return question.unguarded;
  // Of other statements of its shape nobody has counted the rows.
  if (grant === 'fingerprint') return 'its grant is for other statements of its form as well';
  if (impact === null) return 'its rows are not counted yet';
  if (impact.undo !== undefined) return impact.undo;
  return impact.rows === null ? 'its rows could not be counted' : null;
}

/** True if a number of rows would be kept to, but nobody knows it. */
export function isUncounted({
  question,
  impact,
  grant,
}: Pick<ApprovalRequest, 'question' | 'impact' | 'grant'>): boolean {
  if (question.unguarded !== null || grant === 'fingerprint') return false;
  return impact === null || (impact.undo === undefined && impact.rows === null);
}

/** How far a grant may reach, the narrowest first. */
const REACHES: readonly Approval['grant'][] = ['once', 'session', 'fingerprint'];

/** True if a grant of the first reach is good for less than one of the second. */
export function isNarrower(one: Approval['grant'], other: Approval['grant']): boolean {
  return REACHES.indexOf(one) < REACHES.indexOf(other);
}

/** How far the approval of a request reaches, in words for who gives it. */
export function reachOf({ grant, grantForMs }: Pick<ApprovalRequest, 'grant' | 'grantForMs'>): string {
  if (grant === 'once') return 'one execution';
  if (grant === 'session') return 'this statement, as often as its session sends it';
  return `all statements of its form, whatever their values, for ${Math.round((grantForMs ?? 0) / 1000)} s`;
}

/** What several rules ask for together: the narrowest of each. */
export function mergedApprovals(approvals: readonly Approval[]): {
  readonly stages: readonly ApprovalStage[];
  readonly withinMs: number;
  readonly waitMs: number;
  readonly grant: Approval['grant'];
  readonly grantForMs: number | null;
  readonly tolerancePercent: number;
} {
  const grant = REACHES[Math.min(...approvals.map((one) => REACHES.indexOf(one.grant)))]!;
  const least = (of: (one: Approval) => number) => Math.min(...approvals.map(of));
  return {
    stages: approvals.flatMap(({ stages }) => stages),
    withinMs: least(({ withinMs }) => withinMs),
    waitMs: least(({ waitMs }) => waitMs),
    grant,
    grantForMs: grant === 'fingerprint' ? least(({ grantForMs }) => grantForMs ?? 0) : null,
    tolerancePercent: least(({ tolerancePercent }) => tolerancePercent),
  };
}

/** SHA-256 of all of it, hexadecimal. */
export function hashOfBinding(binding: Binding): string {
  const { issuer, subject, connection, database, role, path, reading, rules, statement, binds, meaning } = binding;
  return sha256([issuer, subject, connection, database, role, path, reading, rules, statement, binds, meaning]);
}

/** The same for all that an identity asks for on one connection. */
export function hashOfRequester({
  issuer,
  subject,
  connection,
}: Pick<Binding, 'issuer' | 'subject' | 'connection'>): string {
  return sha256(['requester', issuer, subject, connection]);
}

/** The same for a grant that reaches every statement of one shape: its text and values are left out. */
export function hashOfShape({ binding, kind, fingerprint, effects }: Question): string {
  const { issuer, subject, connection, database, role, path, reading, rules, meaning } = binding;
  return sha256([
    'shape',
    meaning,
    issuer,
    subject,
    connection,
    database,
    role,
    path,
    reading,
    rules,
    kind,
    fingerprint,
    effects,
  ]);
}

function sha256(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
