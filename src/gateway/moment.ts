import type { Moment } from '../policy/moment.ts';
import { type Claims, claimsTogether } from './claims.ts';
import type { Judgement } from './judge.ts';
import type { SessionStart } from './session-start.ts';

/** What the dialect knows of the moment of an execution. */
export interface MomentOfSession {
  /** Bind values as text; `null` for NULL. */
  readonly binds: readonly (string | null)[];
  readonly inTransaction: boolean;
  /** Settings of the session, by names in any case. */
  readonly settings: ReadonlyMap<string, string>;
  /** What the client says of this execution besides its text; `null` where the protocol has no room for that. */
  readonly claimed: Claims | null;
}

/** The moment at which a text is executed, for verdicts that depend on it. */
export function momentOf(
  start: SessionStart,
  judgement: Judgement,
  session: MomentOfSession,
  estimate: Moment['estimate'],
): Moment {
  const { id, address, tls, claims } = start;
  const settings = new Map([...session.settings].map(([name, value]) => [name.toLowerCase(), value]));
  return {
    now: Date.now(),
    claimed: claimsTogether(claims.all, judgement.claimed, session.claimed) ?? claims.all,
    binds: session.binds,
    session: { id, address, tls, inTransaction: session.inTransaction, settings },
    estimate,
  };
}
