import type { RuleSet } from '../policy/decide.ts';
import { type JudgedText, judgeText, rehearsedMoment } from './judged-text.ts';
import {
  type RecordedScope,
  type RecordedStatement,
  type RecordedTraffic,
  readStatements,
} from './recorded-statements.ts';
import type { SessionReading, StatementReader } from './statement-reader.ts';

/** Statements of one shape whose verdict would be another. */
export interface ChangedVerdict {
  readonly fingerprint: string;
  readonly from: 'allow' | 'hold' | 'deny';
  readonly to: 'allow' | 'hold' | 'deny';
  /** The rules that would decide. */
  readonly by: readonly string[];
  count: number;
  /** The first of them. */
  readonly example: Pick<RecordedStatement, 'at' | 'text' | 'identity' | 'connection'>;
}

export interface Backtest extends RecordedTraffic {
  readonly statements: number;
  /** Statements that run others by a name only their session knew: what they do now cannot be told. */
  readonly byName: number;
  /** What becomes stricter first, then the most frequent. */
  readonly changes: readonly ChangedVerdict[];
}

export interface BacktestOptions {
  readonly reader: StatementReader;
  /** How every session is taken to be: the journal does not say. */
  readonly session: SessionReading;
  /** What a connection's default is. */
  readonly defaultOf: (connection: string) => 'allow' | 'hold' | 'deny';
  /** Called for each statement with how many there were. */
  readonly progress: (statements: number) => void;
}

/** Verdicts kept, so that what is sent again and again is judged once. */
const MOST_KEPT = 20_000;

const STRICTNESS = { allow: 0, hold: 1, deny: 2 } as const;

/** Judges what was recorded by other rules, and says whose verdict would be another. Rejects as {@link readStatements} does. */
export async function backtest(
  scope: RecordedScope,
  rules: RuleSet,
  { reader, session, defaultOf, progress }: BacktestOptions,
): Promise<Backtest> {
  const kept = new Map<string, JudgedText>();
  const changes = new Map<string, ChangedVerdict>();
  let statements = 0;
  let byName = 0;
  const judged = async ({ text, identity, connection, at, binds, claimed }: RecordedStatement): Promise<JudgedText> => {
    const key = JSON.stringify([identity, connection, text]);
    const known = kept.get(key);
    if (known !== undefined) return known;
    const result = await judgeText(reader, rules, text, {
      subject: { identity, connection, default: defaultOf(connection) },
      session,
      moment: rehearsedMoment(text, at, claimed, binds, session),
    });
    if (kept.size >= MOST_KEPT) kept.clear();
    if (result.statements.every(({ verdict }) => verdict.stable)) kept.set(key, result);
    return result;
  };
  const traffic = await readStatements(scope, async (recorded) => {
    statements += 1;
    progress(statements);
    const now = await judged(recorded);
    if (now.statements.some(({ facts }) => facts.executes.length > 0)) {
      byName += 1;
      return;
    }
    if (now.action === recorded.verdict) return;
    // Texts that cannot be read have no fingerprint: they are counted by what they say.
    const shape = recorded.fingerprint === '' ? recorded.text.slice(0, 200) : recorded.fingerprint;
    const key = JSON.stringify([shape, recorded.verdict, now.action, now.by]);
    const change = changes.get(key);
    if (change !== undefined) {
      change.count += 1;
      return;
    }
    const { fingerprint, verdict, at, text, identity, connection } = recorded;
    const example = { at, text, identity, connection };
    changes.set(key, { fingerprint, from: verdict, to: now.action, by: now.by, count: 1, example });
  });
  const sorted = [...changes.values()].sort((a, b) => stricter(b) - stricter(a) || b.count - a.count);
  return { ...traffic, statements, byName, changes: sorted };
}

function stricter({ from, to }: ChangedVerdict): number {
  return STRICTNESS[to] - STRICTNESS[from];
}
