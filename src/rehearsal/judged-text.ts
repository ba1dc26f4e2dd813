import { claimsInComment } from '../gateway/claims.ts';
import type { RuleSet, Subject } from '../policy/decide.ts';
import type { ExplainedRule } from '../policy/explain.ts';
import type { Moment } from '../policy/moment.ts';
import type { Verdict } from '../policy/verdict.ts';
import type { ReadStatement, SessionReading, StatementReader } from './statement-reader.ts';

export interface JudgedStatement extends ReadStatement {
  readonly verdict: Verdict;
  /** What every rule had to say, by id. */
  readonly rules: readonly ExplainedRule[];
}

/** What would become of a text: one refused statement refuses all of it. */
export interface JudgedText {
  readonly action: Verdict['action'];
  /**
   * The rules that made it so, sorted: those that ask for this action and match, `default` where the connection's default
   * decided, `encoding` where Sluice itself refuses.
   */
  readonly by: readonly string[];
  /** The masks and detectors that have something to do with its results, sorted; none if it does not run. */
  readonly masks: readonly string[];
  /** The sentence and the hint its sender reads; `null` if it runs. */
  readonly refusal: { readonly message: string; readonly hint: string } | null;
  readonly statements: readonly JudgedStatement[];
}

export interface Situation {
  readonly subject: Subject;
  readonly session: SessionReading;
  readonly moment: Moment;
}

const STRICTNESS = { allow: 0, hold: 1, deny: 2 } as const;

/** Judges a text as the session of this situation would be judged. */
export async function judgeText(
  reader: StatementReader,
  rules: RuleSet,
  text: string,
  { subject: sender, session, moment }: Situation,
): Promise<JudgedText> {
  const subject: Subject = { protocol: reader.dialect === 'postgres' ? 'postgres' : 'mysql', ...sender };
  const statements: JudgedStatement[] = (await reader.read(text, session)).map((statement) => ({
    ...statement,
    ...rules.explain(statement.facts, subject, moment),
  }));
  const action = statements.reduce<Verdict['action']>((worst, { facts, verdict }) => {
    const own = facts.refuses === null ? verdict.action : 'deny';
    return STRICTNESS[own] > STRICTNESS[worst] ? own : worst;
  }, 'allow');
  const deciding = statements.filter(
    ({ facts, verdict }) => verdict.action === action || (action === 'deny' && facts.refuses !== null),
  );
  const by = new Set(deciding.flatMap((statement) => decidedBy(statement, action)));
  const masks = action === 'allow' ? new Set(statements.flatMap(({ verdict }) => masking(verdict))) : [];
  return { action, by: [...by].sort(), masks: [...masks].sort(), refusal: refusalOf(deciding[0], action), statements };
}

function masking({ masks }: Verdict): string[] {
  return masks === null || masks.isEmpty ? [] : [...masks.ids, ...masks.detectorIds];
}

function decidedBy({ verdict, rules, facts }: JudgedStatement, action: Verdict['action']): string[] {
  if (verdict.action !== action) return facts.refuses === null ? [] : ['encoding'];
  const ids = rules.filter(
    (rule) => rule.effects.length > 0 && !rule.shadow && !rule.isBudget && rule.action === action,
  );
  const decided = ids.map(({ id }) => id).filter((id) => verdict.rules.includes(id));
  return verdict.action === 'allow' || decided.includes(verdict.rule) ? decided : [...decided, verdict.rule];
}

function refusalOf(statement: JudgedStatement | undefined, action: Verdict['action']): JudgedText['refusal'] {
  if (statement === undefined || action === 'allow') return null;
  const { verdict, facts } = statement;
  if (verdict.action !== 'allow') return { message: verdict.message, hint: verdict.hint };
  return { message: `The statement ${facts.refuses}.`, hint: 'Use UTF-8 as the client encoding.' };
}

/**
 * A moment of which only the given things are known: nobody is connected.
 *
 * @param now milliseconds since 1970
 * @param claimed what the client claims besides the text's own comment
 * @param estimate what the server expects of the statement; `null` if that is not known
 */
export function rehearsedMoment(
  text: string,
  now: number,
  claimed: Readonly<Record<string, string>>,
  binds: readonly (string | null)[],
  session: SessionReading,
  estimate: Moment['estimate'] = null,
): Moment {
  const settings = new Map([
    ['search_path', session.searchPath.join(', ')],
    ['sql_mode', session.sqlMode],
  ]);
  return {
    now,
    claimed: new Map([...Object.entries(claimed), ...(claimsInComment(text) ?? [])]),
    binds,
    session: { id: 'rehearsal', address: '127.0.0.1', tls: true, inTransaction: false, settings },
    estimate,
  };
}
