import type { Moment } from '../policy/moment.ts';
import { claimsInComment } from './claims.ts';
import type { SessionStart } from './services.ts';

/** What the dialect knows of the moment of an execution. */
export interface MomentOfSession {
  /** Bind values as text; `null` for NULL. */
  readonly binds: readonly (string | null)[];
  readonly inTransaction: boolean;
  /** Settings of the session, by names in any case. */
  readonly settings: ReadonlyMap<string, string>;
  /** What the client says of this execution besides its text; `null` where the protocol has no room for that. */
  readonly claimed: ReadonlyMap<string, string> | null;
}

/** The moment at which a text is executed, for verdicts that depend on it. */
export function momentOf(start: SessionStart, text: string, session: MomentOfSession): Moment {
  const { id, address, tls, claimed } = start;
  const ofStatement = [...(claimsInComment(text) ?? []), ...(session.claimed ?? [])];
  const settings = new Map([...session.settings].map(([name, value]) => [name.toLowerCase(), value]));
  return {
    now: Date.now(),
    claimed: ofStatement.length === 0 ? claimed : new Map([...claimed, ...ofStatement]),
    binds: session.binds,
    session: { id, address, tls, inTransaction: session.inTransaction, settings },
    estimate: null,
  };
}
