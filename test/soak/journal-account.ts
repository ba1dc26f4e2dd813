import { readRecords } from '../../src/recording/read-records.ts';

/** How many problems of a journal are told one by one. */
const MOST_TOLD = 20;

/** What a journal says happened. */
export interface JournalAccount {
  readonly records: number;
  readonly sessions: number;
  readonly attempts: number;
  /** Outcomes by status: `ok`, `error`, `refused`, `skipped`, `lost`. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Statements that ended `ok`, by user name. */
  readonly completedBy: ReadonlyMap<string, number>;
  /** Rows of completed `INSERT INTO arrived`. */
  readonly rowsArrived: number;
  /** Gaps in the numbers, statements without outcome, outcomes without attempt, sessions without end. */
  readonly problems: readonly string[];
}

interface OpenSession {
  readonly user: string;
  attempts: number;
  /** Text of each statement whose outcome has not come, by its number. */
  readonly open: Map<number, string>;
}

/**
 * Reads a journal whose writer has ended and holds every attempt against its outcome, every session against its end.
 * Memory grows with the sessions open at a time, not with the journal.
 */
export async function accountFor(directory: string): Promise<JournalAccount> {
  const sessions = new Map<string, OpenSession>();
  const outcomes: Record<string, number> = {};
  const completedBy = new Map<string, number>();
  const problems: string[] = [];
  let [records, begun, attempts, rowsArrived, more] = [0, 0, 0, 0, 0];
  const problem = (text: string) => {
    if (problems.length < MOST_TOLD) problems.push(text);
    else more++;
  };
  await readRecords(directory, {
    problem: ({ file, line, message }) => problem(`${file}:${line}: ${message}`),
    record({ seq, event, fields }) {
      records++;
      if (event === 'journal.gap') return problem(`record ${seq}: journal.gap, ${fields.reason}`);
      const id = String(fields.session);
      if (event === 'session.start') {
        begun++;
        const { subject } = fields.identity as { subject: string };
        sessions.set(id, { user: subject, attempts: 0, open: new Map() });
        return;
      }
      if (!event.startsWith('session.') && !event.startsWith('statement.')) return;
      const session = sessions.get(id);
      if (session === undefined) return problem(`record ${seq}: ${event} of session ${id}, which is not open`);
      const statement = Number(fields.statement);
      if (event === 'statement.attempt') {
        attempts++;
        session.attempts++;
        if (statement !== session.attempts) problem(`record ${seq}: statement ${statement} of ${id} is out of order`);
        session.open.set(statement, String(fields.text));
      } else if (event === 'statement.outcome') {
        const text = session.open.get(statement);
        if (text === undefined) problem(`record ${seq}: outcome of ${id}/${statement}, which is not open`);
        session.open.delete(statement);
        const status = String(fields.status);
        outcomes[status] = (outcomes[status] ?? 0) + 1;
        if (status !== 'ok') return;
        completedBy.set(session.user, (completedBy.get(session.user) ?? 0) + 1);
        // MySQL says it as a number, PostgreSQL in its tag.
        if (text?.startsWith('INSERT INTO arrived'))
          rowsArrived += Number(fields.affected ?? /^INSERT 0 (\d+)$/.exec(String(fields.tag))?.[1]);
      } else if (event === 'session.end') {
        for (const number of session.open.keys()) problem(`statement ${number} of session ${id} has no outcome`);
        if (fields.statements !== session.attempts) {
          problem(`record ${seq}: ${id} ends with ${fields.statements} statements after ${session.attempts} attempts`);
        }
        sessions.delete(id);
      }
    },
  });
  for (const [id, { user }] of sessions) problem(`session ${id} of ${user} has no end`);
  if (more > 0) problems.push(`and ${more} more problems`);
  return { records, sessions: begun, attempts, outcomes, completedBy, rowsArrived, problems };
}
