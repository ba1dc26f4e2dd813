import type { Activity as Report, Use } from '../identity/inventory.ts';
import type { Verdict } from '../policy/verdict.ts';
import type { Effect } from '../statements/facts.ts';
import type { Claims } from './claims.ts';
import type { JudgedStatement } from './judge.ts';
import type { SessionStart } from './session-start.ts';

/** Longest name of what was used; the object's name is the client's to choose. */
const LONGEST_NAME = 200;
/** Most different things of one session between two takings; what comes on top is not counted by its name. */
const MOST_USES = 1000;

/** What the sessions did since that was last asked: counted in memory, so that no statement waits for the inventory. */
export class Activities {
  readonly #open = new Set<Activity>();
  /** Of sessions that have ended since. */
  readonly #ended: Activity[] = [];

  begin(start: SessionStart): Activity {
    const activity = new Activity(start, () => {
      this.#open.delete(activity);
      this.#ended.push(activity);
    });
    this.#open.add(activity);
    return activity;
  }

  /** What was done since the last call. */
  take(): Report[] {
    const reports: Report[] = [];
    for (const activity of [...this.#ended.splice(0), ...this.#open]) {
      const report = activity.take();
      if (report !== null) reports.push(report);
    }
    return reports;
  }
}

/** Statements with the same verdict. */
interface Counted {
  readonly effects: readonly Effect[];
  passed: number;
  refused: number;
}

/** What one session did. */
export class Activity {
  readonly #start: SessionStart;
  readonly #end: () => void;
  #isNew = true;
  /** What its client called itself when it came. */
  readonly #client: string;
  /** Statements whose text differs in literals only share their verdict. */
  readonly #statements = new Map<Verdict, Counted>();

  constructor(start: SessionStart, end: () => void) {
    this.#start = start;
    this.#end = end;
    const { claims, connection, judge } = start;
    this.#client = clientOf(judge.kept(claims.all)) ?? `${connection.protocol} without a name`;
  }

  passed(statement: JudgedStatement): void {
    this.#counted(statement).passed++;
  }

  refused(statement: JudgedStatement): void {
    this.#counted(statement).refused++;
  }

  /** The session is over. */
  end(): void {
    this.#end();
  }

  #counted({ verdict, facts }: JudgedStatement): Counted {
    let counted = this.#statements.get(verdict);
    if (counted === undefined) {
      counted = { effects: facts.effects, passed: 0, refused: 0 };
      this.#statements.set(verdict, counted);
    }
    return counted;
  }

  /** What was done since the last call, `null` for nothing. */
  take(): Report | null {
    if (!this.#isNew && this.#statements.size === 0) return null;
    const { identity, connection, credential } = this.#start;
    const uses = new Map<string, Use>();
    const count = (aspect: Use['aspect'], name: string, n: number) => {
      const short = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}...` : name;
      const key = `${aspect} ${short}`;
      const known = uses.get(key);
      if (known !== undefined) known.count += n;
      else if (uses.size < MOST_USES) uses.set(key, { aspect, name: short, count: n });
    };
    if (this.#isNew) count('client', this.#client, 1);
    let allowed = 0;
    let held = 0;
    let denied = 0;
    for (const [{ action, rules }, { effects, passed, refused }] of this.#statements) {
      if (action === 'hold') held += passed + refused;
      else {
        allowed += passed;
        denied += refused;
      }
      for (const rule of rules) count('rule', rule, passed + refused);
      if (passed > 0) for (const effect of effects) count('effect', nameOf(effect), passed);
    }
    const sessions = this.#isNew ? 1 : 0;
    this.#isNew = false;
    this.#statements.clear();
    return {
      identity,
      connection: connection.name,
      credential: credential?.id ?? null,
      sessions,
      allowed,
      held,
      denied,
      uses: [...uses.values()],
    };
  }
}

/** What a client calls itself: drivers for MySQL have a name of their own, those for PostgreSQL an application's. */
function clientOf(claimed: Claims): string | null {
  return claimed.get('_client_name') || claimed.get('application_name') || null;
}

/** `delete public.orders`, `opaque` */
function nameOf({ effect, object }: Effect): string {
  if (object === null) return effect;
  return `${effect} ${object.schema === null ? '' : `${object.schema}.`}${object.name}`;
}
