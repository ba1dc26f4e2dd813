import { hash } from 'node:crypto';
import type { Binding, Question } from '../approvals/request.ts';
import type { HoldVerdict } from '../policy/verdict.ts';
import type { NameContext } from '../statements/catalogue.ts';
import { type Claims, claimsTogether, withoutClaims } from './claims.ts';
import { describeEffect, isHeld, type JudgedStatement, type Judgement } from './judge.ts';
import { meaningOf } from './meaning.ts';
import type { SessionStart } from './session-start.ts';

/** What only the dialect knows of a statement that people are asked about. */
export interface AsDialectKnows
  extends Pick<Binding, 'database' | 'role' | 'reading' | 'binds'>,
    Pick<Question, 'inTransaction' | 'preview' | 'unguarded'> {
  /** What its names mean. */
  readonly names: NameContext;
  /** Different for every change of a setting that may change what statements do; empty if there was none. */
  readonly settings: string;
  /** Texts that its statements run by name: they run what the name stands for now. */
  readonly named: readonly string[];
  /** What the client says of this execution besides its text; `null` where it says nothing. */
  readonly claimed: Claims | null;
}

/** What people are asked about statements that a rule holds. @param held the first of them that is held */
export function questionAbout(
  { id, identity, connection, claims }: SessionStart,
  judgement: Judgement,
  statements: readonly JudgedStatement[],
  held: JudgedStatement,
  known: AsDialectKnows,
): Question {
  const verdict = held.verdict as HoldVerdict;
  const { database, role, reading, binds, inTransaction, preview, unguarded } = known;
  const { named, names, settings } = known;
  const whose = [identity.kind, identity.owner ?? ''];
  return {
    binding: {
      issuer: identity.issuer ?? '',
      subject: identity.subject,
      connection: connection.name,
      database,
      role,
      path: names.searchPath,
      reading,
      rules: judgement.rules.version,
      statement: [withoutClaims(judgement.text), ...named].join('\n-- runs: '),
      binds,
      meaning: hash('sha256', JSON.stringify([whose, named, settings, meaningOf(statements, names)])),
    },
    identity,
    session: id,
    kind: held.facts.kind,
    fingerprint: held.facts.fingerprint,
    rule: verdict.rule,
    message: verdict.message,
    effects: statements.flatMap(({ facts }) => facts.effects.map(describeEffect)),
    approvals: statements.flatMap((one) => (isHeld(one) ? (one.verdict as HoldVerdict).approvals : [])),
    claimed: Object.fromEntries(claimsTogether(claims.all, judgement.claimed, known.claimed) ?? []),
    inTransaction,
    preview,
    unguarded,
  };
}
