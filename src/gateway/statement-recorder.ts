import type { Redaction } from '../config/redaction.ts';
import type { Meter } from '../policy/budgets.ts';
import type { Journal } from '../recording/journal.ts';
import type { LineWriter } from '../recording/line-writer.ts';
import type { Activity } from './activities.ts';
import { type Claims, claimsTogether, keptOf, type SessionClaims } from './claims.ts';
import type { JudgedStatement } from './judge.ts';
import type { RecordedResults } from './recorded-results.ts';
import type { Refusal } from './refusal.ts';
import type { SessionServices } from './services.ts';
import type { SessionStart } from './session-start.ts';

/** How a dialect masks the results of an execution; only that dialect looks at it. */
export type Masking = object;

/** Statements that were forwarded together, while their outcome is not known. */
export class Execution {
  readonly statements: readonly JudgedStatement[];
  /** Number of the first statement within the session. */
  readonly number: number;
  readonly startedAt: number;
  /** How long Sluice took to read and judge it, milliseconds: what it waited for, people or the server, is not in it. */
  readonly judgedMs: number;
  /** How many of the statements are done. */
  done = 0;
  /** Rows and bytes of results since the last statement was done. */
  rows = 0;
  bytes = 0;
  /** Tag of the last CommandComplete of the last statement. */
  tag = '';
  /** Counts what it uses against the budgets of its verdicts; `null` where there are none. */
  meter: Meter | null = null;
  /** Why the rest of the result is not for the client; the error it gets in its place. */
  cut: Refusal | null = null;
  /** How the result that comes in is masked; `null` if nothing is. */
  masking: Masking | null = null;
  /** What of its results is recorded; `null` if nothing is. */
  results: RecordedResults | null = null;
  /** For approval, by whose grant they run; `null` if no rule holds them. */
  request: number | null = null;
  /** Runs out when the time budget does. */
  timer: NodeJS.Timeout | null = null;

  constructor(statements: readonly JudgedStatement[], number: number, startedAt: number, judgedMs: number) {
    this.statements = statements;
    this.number = number;
    this.startedAt = startedAt;
    this.judgedMs = judgedMs;
  }

  /** True if the server's messages about it may quote masked values: they are not for the client. */
  get withholdsMessages(): boolean {
    for (let i = 0; i < this.statements.length; i++) if (this.statements[i]!.withholdsMessages) return true;
    return false;
  }

  /** True if a statement ends a transaction, or has it check what was left for its end. */
  get endsTransaction(): boolean {
    return this.statements.some(({ facts }) => facts.effects.some(({ effect }) => effect === 'transaction'));
  }

  get isDone(): boolean {
    return this.done >= this.statements.length;
  }
}

/** How a statement ended: `lost` if the session ended before the upstream said. */
export type OutcomeStatus = 'ok' | 'error' | 'skipped' | 'lost';

/** The message that brought a statement. */
export type Via = 'query' | 'parse' | 'execute' | 'fetch' | 'function call' | 'command';

const VIA: Readonly<Record<Via, Buffer>> = {
  query: via('query'),
  parse: via('parse'),
  execute: via('execute'),
  fetch: via('fetch'),
  'function call': via('function call'),
  command: via('command'),
};

function via(name: string): Buffer {
  return Buffer.from(`,"via":"${name}",`);
}

const OK = Buffer.from(',"status":"ok"');
const ROWS = Buffer.from(',"rows":');
const BYTES = Buffer.from(',"bytes":');
const MS = Buffer.from(',"ms":');
const JUDGED_MS = Buffer.from(',"judgedMs":');
const BINDS = Buffer.from(',"binds":');

/** Of the results of one session so many characters are recorded; after that, of each only which columns it has. */
const MOST_RESULTS = 4 * 1024 * 1024;

/** Writes the records of one session's statements. */
export class StatementRecorder {
  readonly #journal: Journal;
  readonly #services: SessionServices;
  readonly #id: string;
  /** The fields of every record that say whose session it is. */
  readonly #session: string;
  /** What records of its attempts and outcomes begin with, up to the number of the statement. */
  readonly #attemptBegin: Buffer;
  readonly #outcomeBegin: Buffer;
  readonly #startedAt: number;
  readonly #activity: Activity;
  readonly #claims: SessionClaims;
  readonly #redact: Redaction;
  /** Statements recorded so far. */
  statements = 0;
  /** Since when what came last is being read, milliseconds on the monotonic clock. */
  readingSince: number;
  /** Characters of results that may still be recorded. */
  #resultRoom = MOST_RESULTS;

  constructor(services: SessionServices, start: SessionStart) {
    this.#services = services;
    this.#journal = services.journal;
    this.#id = start.id;
    this.#startedAt = services.now();
    this.readingSince = this.#startedAt;
    this.#claims = start.claims;
    this.#redact = start.judge.redact;
    this.#activity = services.activities.begin(start);
    this.#session =
      `"session":"${start.id}","identity":${JSON.stringify(start.identity)},` +
      `"connection":${JSON.stringify(start.connection.name)},"protocol":"${start.connection.protocol}",` +
      `"client":{"address":${JSON.stringify(start.address)}}`;
    this.#attemptBegin = Buffer.from(`"statement.attempt",${this.#session},"statement":`);
    this.#outcomeBegin = Buffer.from(`"statement.outcome","session":"${this.#id}","statement":`);
  }

  /**
   * Statements that are about to be forwarded.
   * @param binds JSON text, `null` where there are none
   * @param request for approval by which they may run, if they were held
   * @param claimed what the client says of this execution besides its text
   */
  attempted(
    via: Via,
    statements: readonly JudgedStatement[],
    binds: string | null,
    request: number | null = null,
    claimed: Claims | null = null,
  ): Execution {
    for (let i = 0; i < statements.length; i++) {
      this.#attempt(via, statements[i]!, binds, request, claimed);
      this.#activity.passed(statements[i]!);
    }
    this.#services.counters.allowed += statements.length;
    const now = this.#services.now();
    const execution = new Execution(statements, this.statements - statements.length + 1, now, now - this.readingSince);
    execution.request = request;
    return execution;
  }

  /** Statements that are refused. If nothing can be recorded, that is why, and they leave no record. */
  refused(
    via: Via,
    statements: readonly JudgedStatement[],
    binds: string | null,
    refusal: Refusal,
    claimed: Claims | null = null,
  ): void {
    const { counters } = this.#services;
    counters.refused += statements.length;
    counters.refusal(refusal.by);
    for (let i = 0; i < statements.length; i++) this.#activity.refused(statements[i]!);
    if (this.#journal.failure !== null) return;
    const errno = refusal.errno === undefined ? '' : `,"errno":${refusal.errno}`;
    for (let i = 0; i < statements.length; i++) {
      this.#attempt(via, statements[i]!, binds, null, claimed);
      this.#beginOutcome(this.statements, false).text(
        `,"status":"refused","sqlstate":"${refusal.code}"${errno},"by":"${refusal.by}"`,
      );
      this.#journal.end();
    }
  }

  /** A text that is made ready under a name, and that nothing has executed yet. */
  prepared(statements: readonly JudgedStatement[]): void {
    for (let i = 0; i < statements.length; i++) {
      const claimed = this.#claimedOf(statements[i]!, null);
      this.#journal.append(`"statement.prepare",${this.#session},${statements[i]!.record}${claimed}`, false);
    }
  }

  /** How the next statement of an execution ended. @param fields further ones of the record, as JSON text with a leading comma */
  outcome(execution: Execution, status: OutcomeStatus, fields: string): void {
    if (execution.results !== null) this.#result(execution, execution.results);
    const ms = this.#services.now() - execution.startedAt;
    const line = this.#beginOutcome(execution.number + execution.done, true);
    if (status === 'ok') line.raw(OK);
    else line.text(`,"status":"${status}"`);
    line.text(fields);
    line.raw(ROWS).integer(execution.rows).raw(BYTES).integer(execution.bytes);
    line.raw(MS).thousandths(Math.round(ms * 1000));
    line.raw(JUDGED_MS).thousandths(Math.round(execution.judgedMs * 1000));
    this.#journal.end();
    this.#services.turn.wake();
    if (execution.request !== null && status === 'ok') {
      this.#services.approvals.ran(execution.request, changedRows(fields) ?? execution.rows);
    }
    execution.done++;
    execution.rows = 0;
    execution.bytes = 0;
    if (execution.meter === null || !execution.isDone) return;
    // A statement that was cut was charged then.
    if (execution.cut === null) execution.meter.end(ms, Date.now());
    if (execution.timer !== null) clearTimeout(execution.timer);
  }

  #result(execution: Execution, results: RecordedResults): void {
    const fields = results.take(this.#resultRoom);
    if (fields === null) return;
    this.#resultRoom = Math.max(0, this.#resultRoom - fields.length);
    this.#journal.append(
      `"statement.result","session":"${this.#id}","statement":${execution.number + execution.done}${fields}`,
      true,
    );
  }

  /** One side has sent what the protocol does not allow. */
  violated(side: 'client' | 'upstream', reason: string): void {
    this.#journal.append(
      `"protocol.violation",${this.#session},"side":"${side}","reason":${JSON.stringify(reason)}`,
      true,
    );
    this.#services.turn.wake();
  }

  sessionEnded(reason: string): void {
    this.#activity.end();
    const ms = Math.round(this.#services.now() - this.#startedAt);
    this.#journal.append(
      `"session.end",${this.#session},"reason":${JSON.stringify(reason)},"statements":${this.statements},"ms":${ms}`,
      true,
    );
    this.#services.turn.wake();
  }

  #attempt(
    via: Via,
    statement: JudgedStatement,
    binds: string | null,
    request: number | null,
    claimed: Claims | null,
  ): void {
    this.statements++;
    const line = this.#journal.begin(false).raw(this.#attemptBegin).integer(this.statements).raw(VIA[via]);
    statement.record.writeTo(line);
    if (request !== null) line.text(`,"approval":${request}`);
    line.text(this.#claimedOf(statement, claimed));
    if (binds !== null) line.raw(BINDS).text(binds);
    this.#journal.end();
  }

  #beginOutcome(statement: number, keep: boolean): LineWriter {
    return this.#journal.begin(keep).raw(this.#outcomeBegin).integer(statement);
  }

  /**
   * The record's field `claimed`, with a leading comma; empty where nothing is claimed. What a detector finds in a claim is not
   * for the record; it is looked for wherever the record of the text is.
   */
  #claimedOf({ claimed: inText, verdict }: JudgedStatement, claimed: Claims | null): string {
    const { ofStatements } = this.#claims;
    if (ofStatements === null && inText === null && claimed === null) return '';
    const claims = claimsTogether(ofStatements, inText, claimed);
    if (claims === null) return '';
    const { masks } = verdict;
    if (this.#redact === 'none' || masks === null || !masks.detects) return `,"claimed":${recorded(claims)}`;
    return `,"claimed":${recorded(keptOf(claims, (value) => masks.finds(value)))}`;
  }
}

/** Claims as JSON text. One object of claims is recorded with many statements. */
const RECORDED = new WeakMap<Claims, string>();

function recorded(claims: Claims): string {
  let text = RECORDED.get(claims);
  if (text === undefined) {
    text = JSON.stringify(Object.fromEntries(claims));
    RECORDED.set(claims, text);
  }
  return text;
}

/** Rows that a statement changed, by its record; `null` if that tells none. */
function changedRows(fields: string): number | null {
  const { affected, tag } = JSON.parse(`{${fields.slice(1)}}`) as { affected?: number; tag?: string };
  const inTag = /^(?:INSERT \d+|UPDATE|DELETE|MERGE) (\d+)$/.exec(tag ?? '')?.[1];
  return affected ?? (inTag === undefined ? null : Number(inTag));
}
