import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { Granted } from '../../approvals/approvals.ts';
import type { Estimate } from '../../catalog/estimates.ts';
import { EFFECT_CLASSES, type EffectName, type NameChange } from '../../statements/facts.ts';
import type { Judge, JudgedStatement, Judgement } from '../judge.ts';
import type { Refusal } from '../refusal.ts';
import { Execution, type OutcomeStatus, type StatementRecorder } from '../statement-recorder.ts';
import { EXPECT, type Expectation, Expected } from './expected.ts';
import { nameInText } from './message-names.ts';
import { confirmChange, NameChangeSent, NameTable, undoChange } from './names.ts';

/** A statement the server has, or is about to have, ready by name. */
export interface Prepared {
  judgement: Judgement;
  /** The types its Parse declares for the parameters, as bytes. */
  readonly types: string;
  /** True once a record holds the text. */
  recorded: boolean;
  /** The body of the RowDescription that the server gave of it, whose formats mean nothing; `null` if it gave none. */
  description: Buffer | null;
}

/** A bound statement: `bytes` holds its Bind message from `start` to `end`, the parameters begin at `at`. */
export interface Portal {
  readonly prepared: Prepared;
  readonly bytes: Buffer;
  readonly start: number;
  readonly at: number;
  readonly end: number;
  /** The approval by which it runs, once it does. */
  grant: Granted | null;
  /** What the server expects of it, once that has been asked. */
  estimate?: Estimate | null;
  /** The schemas that were searched then: its plan was made with them, and stays. */
  readonly path: readonly string[];
  /** The role it was bound in. */
  readonly role: string;
  /** The body of the RowDescription that the server gave of it. */
  description: Buffer | null;
  /** The segment in which the client last asked for one; 0 if it did not. */
  describedIn: number;
}

/** A Describe whose answer says in which form rows will come. */
export class Described {
  readonly of: Portal | Prepared | Execution;

  /** @param of an Execution: asked by us, of the portal it is about to run; the answer is not for the client */
  constructor(of: Portal | Prepared | Execution) {
    this.of = of;
  }
}

/** A message that was made to fail in the place of a refused one. */
class Refused {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    this.refusal = refusal;
  }
}

/** What an expected answer is about. Names are confirmed and undone in the same way, of whichever table they are. */
type Expectable = Execution | Refused | Described | NameChangeSent<unknown>;

/** What is done with messages of the extended protocol up to the next Sync. */
export const SKIP = {
  none: 0,
  /** Dropped; the Sync is forwarded: the server is skipping too. */
  thenForward: 1,
  /** Dropped; the Sync is answered here: the server has seen nothing. */
  thenAnswer: 2,
} as const;
export type Skip = (typeof SKIP)[keyof typeof SKIP];

const IDLE = 0x49; // 'I'
const FAILED = 0x45; // 'E'

/**
 * What one session has sent and what its server still owes: the protocol's state, without sockets. The session tells it
 * each message it sends (`sent...`) and each answer that comes (`settle...`); it settles names and outcomes.
 */
export class Pipeline {
  readonly #recorder: StatementRecorder;
  readonly #judge: Judge;
  readonly #expected = new Expected<Expectable>();
  readonly prepared = new NameTable<Prepared>();
  readonly portals = new NameTable<Portal>();
  /** What was declared under a name last, whether the cursor is still there or not. */
  readonly cursors = new Map<string, Prepared>();
  /** Transaction status of the last ReadyForQuery. */
  #status = IDLE;
  /** The segment (from Sync to Sync) the next message belongs to; and how many have ended with ReadyForQuery. */
  segment = 1;
  ended = 0;
  /** True from the first message of the extended protocol until its Sync. */
  isSegmentOpen = false;
  skip: Skip = SKIP.none;
  /** True while the server takes CopyData for COPY FROM STDIN. */
  #copyIn = false;
  /**
   * True if a statement since the session was idle may have the server speak of masked values when none runs: deferred
   * constraints and triggers at the end of the transaction, functions that it calls when a portal is planned.
   */
  #leavesWords = false;
  /** Statements in flight that change names of prepared statements by SQL text. */
  namesInFlight = 0;
  #mark: {
    expected: number;
    segment: number;
    isSegmentOpen: boolean;
    skip: Skip;
    statements: number;
    copyIn: boolean;
  } = {
    expected: 0,
    segment: 0,
    isSegmentOpen: false,
    skip: SKIP.none,
    statements: 0,
    copyIn: false,
  };
  #isMarked = false;

  constructor(recorder: StatementRecorder, judge: Judge) {
    this.#recorder = recorder;
    this.#judge = judge;
  }

  /** True if the server has nothing of this session in hand: an answer from here cannot come out of turn. */
  get isIdle(): boolean {
    return this.#status === IDLE && !this.owesAnswers && !this.isSegmentOpen;
  }

  get isInTransaction(): boolean {
    return this.#status !== IDLE;
  }

  get hasFailed(): boolean {
    return this.#status === FAILED;
  }

  get owesAnswers(): boolean {
    return this.#head() !== 0;
  }

  // --- Sent --------------------------------------------------------------------------------------------------------

  sentQuery(execution: Execution | null): void {
    this.#expected.push(EXPECT.query, execution);
    this.#leavesWords ||= execution?.statements.some(mayDefer) === true;
    this.#countNames(execution, 1);
    this.#endSegment();
  }

  /** An Execute in the place of a Query, behind messages that are hidden; its Sync follows when it is done. */
  sentGuardedQuery(execution: Execution): void {
    this.#expected.push(EXPECT.guardedQuery, execution);
    this.#leavesWords ||= execution.statements.some(mayDefer);
    this.#endSegment();
  }

  sentParse(name: string, prepared: Prepared): void {
    this.#sentExtended(EXPECT.parse, this.prepared.change(name, prepared, this.segment));
  }

  sentBind(name: string, portal: Portal): void {
    this.#sentExtended(EXPECT.bind, this.portals.change(name, portal, this.segment));
    this.#leavesWords ||= portal.prepared.judgement.statements.some(mayCallInPlan);
  }

  /** @param described `null` if nothing depends on the answer */
  sentDescribe(described: Described | null): void {
    this.#sentExtended(EXPECT.describe, described);
  }

  /** The Describe whose answer comes in now, if something depends on it. */
  get described(): Described | null {
    const value = this.#expected.value();
    return value instanceof Described ? value : null;
  }

  sentClose(isStatement: boolean, name: string): void {
    const table: NameTable<unknown> = isStatement ? this.prepared : this.portals;
    this.#sentExtended(EXPECT.close, table.change(name, null, this.segment));
  }

  sentExecute(execution: Execution | null): void {
    this.#sentExtended(EXPECT.execute, execution);
    this.#leavesWords ||= execution?.statements.some(mayDefer) === true;
    this.#countNames(execution, 1);
  }

  /** A Query that can only fail, in the place of a refused one. */
  sentRefusedQuery(refusal: Refusal): void {
    this.#expected.push(EXPECT.refusedQuery, new Refused(refusal));
    this.#endSegment();
  }

  /** An Execute that can only fail, in the place of a refused message. */
  sentRefusedExecute(refusal: Refusal): void {
    this.#sentExtended(EXPECT.refusedExecute, new Refused(refusal));
    this.skip = SKIP.thenForward;
  }

  sentSync(): void {
    // "Flush and Sync are ignored during COPY FROM STDIN" (Message Flow, COPY Operations), unless the COPY has failed meanwhile.
    if (this.#copyIn) {
      this.#expected.push(EXPECT.maybeSync, null);
      this.segment++;
      return;
    }
    this.#expected.push(EXPECT.sync, null);
    this.#endSegment();
  }

  /** One message of our own, whose answer is not for the client. @param execution what it is a part of */
  sentHidden(execution: Execution | null): void {
    this.#sentExtended(EXPECT.hidden, execution);
  }

  /** An answer that may be to a message of our own. @returns false if it is the client's */
  settleHidden(): boolean {
    if (this.#expected.kind() !== EXPECT.hidden) return false;
    this.#expected.shift();
    return true;
  }

  /** Messages of our own, that end with a Sync: their answers, up to ReadyForQuery, are not for the client. */
  sentOwn(): void {
    this.#expected.push(EXPECT.own, null);
    this.#endSegment();
  }

  /** CopyDone or CopyFail. */
  sentCopyEnd(): void {
    if (this.#copyIn) this.#copyIn = false;
    else if (this.#expected.length > 0) this.#expected.push(EXPECT.copyEnd, null);
  }

  #sentExtended(kind: Expectation, value: Expectable | null): void {
    this.#expected.push(kind, value);
    this.isSegmentOpen = true;
  }

  #endSegment(): void {
    this.segment++;
    this.isSegmentOpen = false;
  }

  #countNames(execution: Execution | null, by: 1 | -1): void {
    if (execution === null) return;
    for (const { facts } of execution.statements) if (facts.nameChange !== null) this.namesInFlight += by;
  }

  /** True while answers to messages of our own come in. */
  get answersOwn(): boolean {
    return this.#expected.kind() === EXPECT.own;
  }

  /** True while the results of a guarded Query come in: what it was sent as has been described. */
  get answersGuardedQuery(): boolean {
    return this.#expected.kind() === EXPECT.guardedQuery;
  }

  /** The ReadyForQuery of messages of our own. */
  settleOwn(status: number): void {
    this.#expected.shift();
    this.ended++;
    this.#status = status;
  }

  // --- Answered ----------------------------------------------------------------------------------------------------

  /** The execution whose results come in now, or `null`. */
  get running(): Execution | null {
    const value = this.#expected.value();
    return value instanceof Execution ? value : null;
  }

  /** True if what the server says now may quote values that are masked for this client. */
  get withholdsMessages(): boolean {
    const { running } = this;
    if (running === null) return this.#leavesWords;
    return running.withholdsMessages || (this.#leavesWords && running.endsTransaction);
  }

  /** @throws ProtocolViolation if the server answers what it was not asked */
  settle(kind: Expectation): void {
    if (this.#head() !== kind) throw new ProtocolViolation('the upstream answered what it was not asked');
    const value = this.#expected.value();
    if (value instanceof NameChangeSent) confirmChange(value);
    this.#expected.shift();
  }

  /** RowDescription and EmptyQueryResponse also come inside the answer to a Query, which they do not end. */
  settleIfNext(kind: Expectation): void {
    if (this.#head() === kind) this.settle(kind);
  }

  settlePortalSuspended(): void {
    const execution = this.running;
    if (execution !== null) this.#outcome(execution, 'ok', ',"suspended":true');
    this.settle(EXPECT.execute);
  }

  settleCommandComplete(tag: string): void {
    const head = this.#head();
    const execution = this.running;
    this.#copyIn = false;
    if (head === EXPECT.execute) {
      if (execution !== null) {
        this.#outcome(execution, 'ok', tagField(tag));
        this.#abandon(execution, 'skipped');
      }
      this.#expected.shift();
      // A COPY ended well, so the server has ignored the Syncs that came before its end.
      while (this.#head() === EXPECT.maybeSync) this.#syncIgnored();
    } else if (head !== EXPECT.query && head !== EXPECT.guardedQuery) {
      throw new ProtocolViolation('the upstream completed what it was not asked');
    } else if (execution !== null) {
      // The last statement of the text is settled by ReadyForQuery: text we could not read may hold more than we know of.
      if (execution.done < execution.statements.length - 1) this.#outcome(execution, 'ok', tagField(tag));
      else execution.tag = tag;
    }
  }

  /** @param status the transaction status: 'I', 'T' or 'E' as its byte */
  settleReadyForQuery(status: number): void {
    if (this.#head() === EXPECT.maybeSync) {
      // A COPY failed. Where another Sync was sent behind, it is the one that is answered: the server had ignored this one.
      if (this.#expected.has(EXPECT.sync)) while (this.#head() === EXPECT.maybeSync) this.#syncIgnored();
      else if (this.#expected.length === 1) this.isSegmentOpen = false;
    }
    const head = this.#head();
    if (head !== EXPECT.query && head !== EXPECT.refusedQuery && !endsWithSync(head)) {
      throw new ProtocolViolation('the upstream is ready for a query while it owes answers');
    }
    const execution = this.running;
    if (execution !== null && !execution.isDone) {
      this.#outcome(execution, 'ok', tagField(execution.tag));
      this.#abandon(execution, 'skipped');
    }
    this.#expected.shift();
    this.ended++;
    this.#status = status;
    this.#copyIn = false;
    // The end of a transaction destroys its portals (Message Flow, Extended Query); so an idle session keeps no bytes of Binds.
    if (status !== IDLE || this.#expected.length > 0) return;
    this.portals.clear();
    this.#leavesWords = false;
  }

  /**
   * An ErrorResponse that does not end the session.
   * @returns the refusal to send in its place, or `null` if it is the server's own
   */
  settleError(code: string): Refusal | null {
    const head = this.#head();
    const value = this.#expected.value();
    if (value instanceof Refused) {
      if (head === EXPECT.refusedExecute) this.#expected.shift();
      return value.refusal;
    }
    this.#copyIn = false;
    let refusal: Refusal | null = null;
    if (value instanceof Execution) {
      refusal = value.cut;
      if (!value.isDone) this.#outcome(value, 'error', `,"sqlstate":${JSON.stringify(refusal?.code ?? code)}`);
      this.#abandon(value, 'skipped');
    }
    if (head !== 0 && head !== EXPECT.query && !endsWithSync(head)) this.#discardToSync();
    return refusal;
  }

  /** A result that was cut was completed: the client gets an error instead. @param code its SQLSTATE */
  settleCut(code: string): void {
    const execution = this.running;
    if (execution === null) return;
    if (!execution.isDone) this.#outcome(execution, 'error', `,"sqlstate":"${code}"`);
    this.#abandon(execution, 'skipped');
    if (this.#head() === EXPECT.execute) this.#expected.shift();
  }

  /** The server has begun to take copy data. */
  settleCopyInResponse(): void {
    const extended = this.#head() === EXPECT.execute;
    // Syncs sent before the client ended the copy are ignored by the server, unless the COPY fails before it reads them.
    const ended = this.#expected.beginCopyIn(extended);
    this.#copyIn = !ended;
    if (extended && !ended) this.isSegmentOpen = true;
  }

  /** The session is over. */
  settleLost(): void {
    this.#expected.forEach((_kind, value) => {
      if (value instanceof Execution) this.#abandon(value, 'lost');
    });
  }

  /** Kind of the oldest thing the server owes, past ends of copies that never began. */
  #head(): Expectation | 0 {
    let kind = this.#expected.kind();
    while (kind === EXPECT.copyEnd) {
      this.#expected.shift();
      kind = this.#expected.kind();
    }
    return kind;
  }

  #syncIgnored(): void {
    this.#expected.shift();
    this.ended++;
  }

  /** After an error in the extended protocol the server skips to the next Sync: so does what it owes. */
  #discardToSync(): void {
    const undone: NameChangeSent<unknown>[] = [];
    for (let head = this.#head(); head !== 0 && !endsWithSync(head); head = this.#head()) {
      const value = this.#expected.value();
      if (value instanceof NameChangeSent) undone.push(value);
      else if (value instanceof Execution) this.#abandon(value, 'skipped');
      this.#expected.shift();
    }
    // A name may have been changed several times: the latest change is undone first.
    for (let i = undone.length - 1; i >= 0; i--) undoChange(undone[i]!);
    if (this.#expected.length === 0) this.skip = SKIP.thenForward;
    // If what is staged has to be taken back, that does not undo what the server has done.
    if (this.#isMarked && this.#expected.head >= this.#mark.expected) {
      this.#mark.expected = this.#expected.head;
      this.#mark.skip = SKIP.thenForward;
    }
  }

  #outcome(execution: Execution, status: OutcomeStatus, fields: string): void {
    const statement: JudgedStatement = execution.statements[execution.done]!;
    this.#recorder.outcome(execution, status, fields);
    const { nameChange } = statement.facts;
    if (nameChange !== null) this.#settleName(nameChange, statement, status === 'ok');
  }

  /** The statements of an execution that are not done will not be. */
  #abandon(execution: Execution, status: 'skipped' | 'lost'): void {
    while (!execution.isDone) this.#outcome(execution, status, '');
  }

  /** PREPARE, DEALLOCATE and DISCARD ALL take effect when the server says they did. */
  #settleName(change: NameChange, statement: JudgedStatement, succeeded: boolean): void {
    this.namesInFlight--;
    if (!succeeded) return;
    if (change.op === 'prepare' || change.op === 'declare') {
      const made = { judgement: this.#judge.judgePrepared(statement), types: '', recorded: true, description: null };
      if (change.op === 'prepare') this.prepared.set(nameInText(change.name), made);
      else this.cursors.set(nameInText(change.name), made);
    } else if (change.op === 'deallocate') this.prepared.set(nameInText(change.name), null);
    else this.prepared.clear('');
  }

  // --- Taking back -------------------------------------------------------------------------------------------------

  /** Remembers the state, for {@link takeBack}. */
  mark(): void {
    const mark = this.#mark;
    mark.expected = this.#expected.tail;
    mark.segment = this.segment;
    mark.isSegmentOpen = this.isSegmentOpen;
    mark.skip = this.skip;
    mark.statements = this.#recorder.statements;
    mark.copyIn = this.#copyIn;
    this.#isMarked = true;
  }

  /** What was sent since the mark has left. */
  unmark(): void {
    this.#isMarked = false;
  }

  /** Nothing that was sent since the mark has left: it was not sent. */
  takeBack(): void {
    const mark = this.#mark;
    this.#expected.truncate(mark.expected, (_kind, value) => {
      if (value instanceof NameChangeSent) undoChange(value);
      else if (value instanceof Execution) this.#countNames(value, -1);
    });
    this.segment = mark.segment;
    this.isSegmentOpen = mark.isSegmentOpen;
    this.skip = mark.skip;
    this.#recorder.statements = mark.statements;
    this.#copyIn = mark.copyIn;
    this.#isMarked = false;
  }
}

const WRITES: ReadonlySet<EffectName> = new Set([...EFFECT_CLASSES.write, 'opaque', 'call-procedure', 'call-function']);

/** Writes of rows, whose constraints and triggers can wait for the end of the transaction. */
function mayDefer({ withholdsMessages, facts }: JudgedStatement): boolean {
  return withholdsMessages && facts.effects.some(({ effect }) => WRITES.has(effect));
}

/** Functions of users, which the server may call when it plans. */
function mayCallInPlan({ withholdsMessages, facts }: JudgedStatement): boolean {
  return withholdsMessages && facts.effects.some(({ via }) => via?.startsWith('function ') === true);
}

/** True for what the server answers when it reads a Sync, and stops skipping at. */
function endsWithSync(expectation: Expectation | 0): boolean {
  return expectation === EXPECT.sync || expectation === EXPECT.maybeSync || expectation === EXPECT.guardedQuery;
}

let lastTag = '';
let lastField = ',"tag":""';

/** The tag of a CommandComplete as a field of a record. One tag follows itself more often than not. */
function tagField(tag: string): string {
  if (tag !== lastTag) {
    lastTag = tag;
    lastField = `,"tag":${JSON.stringify(tag)}`;
  }
  return lastField;
}
