import { createHash } from 'node:crypto';
import type { StatementFacts } from './facts.ts';

/** What a client asks of Sluice itself, in words that no server knows. */
export type OwnStatement =
  /** Its requests for approval, or what Sluice knows of its session. */
  | { readonly asks: 'requests' | 'session' }
  /**
   * What would become of the rest of the text, from `from` on (UTF-16 code units), were it sent; `null` if it is
   * written in a way that cannot be answered.
   */
  | { readonly asks: 'verdict'; readonly from: number | null };

/** The columns of each answer, with their types. */
export const OWN_COLUMNS = {
  requests: [
    ['request', 'integer'],
    ['state', 'text'],
    ['statement', 'text'],
    ['rule', 'text'],
    ['asked_at', 'time'],
    ['expires_at', 'time'],
    ['votes', 'integer'],
    ['votes_needed', 'integer'],
    ['reason', 'text'],
    ['link', 'text'],
  ],
  session: [
    ['property', 'text'],
    ['value', 'text'],
  ],
  verdict: [
    ['property', 'text'],
    ['value', 'text'],
  ],
} as const satisfies Record<
  OwnStatement['asks'],
  readonly (readonly [name: string, type: 'integer' | 'text' | 'time'])[]
>;

/** The facts of such a statement. It does nothing to the database and tells nothing but what is the client's own. */
export function factsOfOwn(asked: OwnStatement): Omit<StatementFacts, 'start' | 'end'> {
  return {
    kind: asked.asks === 'verdict' ? 'EXPLAIN' : 'SHOW',
    effects: [],
    executes: [],
    nameChange: null,
    changesLexing: false,
    refuses: null,
    outputs: OWN_COLUMNS[asked.asks].map(([name]) => ({ name, from: 'none', columns: [] })),
    uses: [],
    asks: asked,
    fingerprint: createHash('sha256').update(`sluice ${asked.asks}`).digest('hex').slice(0, 16),
  };
}
