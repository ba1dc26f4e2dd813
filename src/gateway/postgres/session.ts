import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  BACKEND,
  decodeErrorResponse,
  decodeParameterStatus,
  encodeErrorResponse,
  encodeReadyForQuery,
} from '../../../protocols/postgres/backend.ts';
import { Framer, type FrameSink } from '../../../protocols/postgres/framing.ts';
import {
  decodeFunctionCall,
  encodeExecute,
  encodeFlush,
  encodeQuery,
  encodeTerminate,
  FRONTEND,
} from '../../../protocols/postgres/frontend.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import { Meter, type OverLimit } from '../../policy/budgets.ts';
import type { Moment } from '../../policy/moment.ts';
import type { NameContext } from '../../statements/catalogue.ts';
import { opaqueText, type StatementFacts } from '../../statements/facts.ts';
import { isUnsafeEncoding } from '../../statements/postgres/encodings.ts';
import { claimsInComment } from '../claims.ts';
import { endSocket } from '../end-socket.ts';
import type { JudgedStatement, Judgement } from '../judge.ts';
import { type NamesInForce, NO_NAMES } from '../names-in-force.ts';
import { Outbox } from '../outbox.ts';
import { notRecorded, overBudget, type Refusal, refusedByRule, unsafeEncoding } from '../refusal.ts';
import type { SessionServices, SessionStart } from '../services.ts';
import { type Execution, StatementRecorder } from '../statement-recorder.ts';
import type { TurnMember } from '../turn.ts';
import { bindsAsJson, bindsAsText } from './binds.ts';
import { fatal, refusalResponse, withheldError } from './errors.ts';
import { EXPECT } from './expected.ts';
import { BACKEND_RULES } from './frame-rules.ts';
import { isAscii, nameAt, nameInText, nulAt, targetOf } from './message-names.ts';
import { judgeWithNames } from './names-in-text.ts';
import { Pipeline, type Portal, type Prepared, SKIP } from './pipeline.ts';
import { ASK_SEARCH_PATH, mayChangeSchema, mayChangeSearchPath, searchPathOf } from './search-path.ts';
import { TextReading } from './text-reading.ts';

const UNMETERED = { meter: null, refusal: null };
const READY_IDLE = encodeReadyForQuery('I');
const FLUSH = encodeFlush();

/** Begins the name of the portal that does not exist, so that nobody can make it exist; the server reads 63 bytes of it. */
const NONCE = randomBytes(9).toString('base64url');

/**
 * One client, one upstream connection: the way of every message between login and close.
 *
 * Client to server: each message that carries SQL or executes something is judged before it is staged; at the end of
 * the event-loop turn the records of the turn are written and the staged bytes are sent, unchanged. Server to client:
 * chunks pass as they came while their headers say what was completed. See docs/data-path.md.
 */
export class PostgresSession implements FrameSink, TurnMember {
  readonly id: string;
  readonly start: SessionStart;
  readonly #services: SessionServices;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #recorder: StatementRecorder;
  readonly #reading: TextReading;
  readonly #fromClient: Framer;
  readonly #fromUpstream: Framer;
  readonly #toUpstream = new Outbox();
  /** What the upstream sent, on its way to the client. */
  readonly #toClient = new Outbox();
  /** Answers of our own. They are made only while the server has nothing in hand, and wait for the records of the turn. */
  readonly #answers = new Outbox();
  readonly #pipeline: Pipeline;
  /** True if the CopyData message that comes in pieces is forwarded. */
  #pieceForwarded = false;
  /** Parses of this turn, to be recorded if nothing executes them in it. */
  #parsed: Prepared[] = [];
  #inTurn = false;

  /** Input that waits: the session is not reading on until it can judge. */
  #rest: Buffer | null = null;
  #restAt = 0;
  #waiting: 'nothing' | 'server' | 'analysis' = 'nothing';
  /** The judgement that was waited for. */
  #analysed: Judgement | null = null;
  /** True while a cancel request for a result over its budget is on its way. */
  #cancelling = false;
  /**
   * Whose rows come in, once it is known that there is nothing to do about them but to count: until any other message comes,
   * a row costs no more than that.
   */
  #rowsOf: Execution | null = null;
  /** True if the row that comes in pieces is not for the client. */
  #pieceDropped = false;
  /** True after our own error in the place of a completion: nothing up to ReadyForQuery is for the client. */
  #dropToReady = false;
  /** What names mean on the connection; `null` where no rule can depend on it. */
  #namesInForce: NamesInForce | null;
  /** The schemas that unqualified names are looked for in, unless it is unsure since the last statements. */
  #path: readonly string[];
  #pathUnsure = false;
  /** What names meant when it was last asked. */
  #context: NameContext = NO_NAMES;
  /** True if it was changed in a transaction that may still take that back. */
  #pathTouched = false;
  /** Rows of the answer to our own question for it. */
  #pathRows: Buffer[] = [];
  /** True if a statement since the catalogue was read may have changed the schema. */
  #schemaChanged = false;
  #upstreamFull = false;
  #clientFull = false;
  #clientGone = false;

  /** True from the first recorded message of this turn on: what follows may have to be taken back. */
  #marked = false;
  /** How far text was sure to be read before it. */
  #markUnsureUntil = 0;
  /** Messages since then: ranges of chunks. */
  #sinceMark = new Outbox();

  #closed = false;
  #finished = false;
  #draining = false;
  /** Says which side ended the session first, in the words of the `session.end` record. */
  #endReason = '';
  /** Milliseconds on the monotonic clock; for the idle limit. */
  lastActivity = performance.now();

  /**
   * @param parameters the upstream's, as ParameterStatus messages gave them during its start
   * @param path the schemas it searches; empty if that does not matter or is not known
   */
  constructor(
    services: SessionServices,
    client: Socket,
    upstream: Socket,
    start: SessionStart,
    parameters: ReadonlyMap<string, string>,
    path: readonly string[],
  ) {
    this.#services = services;
    this.#client = client;
    this.#upstream = upstream;
    this.start = start;
    this.#path = path;
    this.#namesInForce = start.names;
    this.id = start.id;
    this.#recorder = new StatementRecorder(services, start);
    this.#pipeline = new Pipeline(this.#recorder, start.judge);
    this.#reading = new TextReading(parameters);
    this.#fromClient = new Framer(this, services.frontendRules);
    this.#fromUpstream = new Framer(
      {
        message: (type, bytes, from, to) => this.#serverMessage(type, bytes, from, to),
        piece: (type, bytes, from, to, opens, closes) => this.#serverPiece(type, bytes, from, to, opens, closes),
      },
      BACKEND_RULES,
    );
  }

  // --- Client to server ------------------------------------------------------------------------------------------

  /** Takes bytes from the client. */
  fromClient(chunk: Buffer): void {
    if (this.#closed) return;
    this.lastActivity = this.#services.now();
    if (this.#rest !== null) {
      this.#rest = Buffer.concat([this.#rest.subarray(this.#restAt), chunk]);
      this.#restAt = 0;
      return;
    }
    this.#read(chunk, 0);
  }

  #read(chunk: Buffer, from: number): void {
    try {
      const at = this.#fromClient.push(chunk, from);
      if (this.#waiting !== 'nothing' && !this.#closed) {
        this.#rest = chunk;
        this.#restAt = at;
        this.#client.pause();
      }
    } catch (error) {
      this.#protocolError(error);
    }
    this.#stage();
  }

  /** The wait is over: goes on with the message it was about. */
  #resume(): void {
    if (this.#closed || this.#waiting === 'nothing') return;
    this.#waiting = 'nothing';
    const chunk = this.#rest!;
    this.#rest = null;
    this.#read(chunk, this.#restAt);
    this.#readOn();
  }

  /** Reads on from the client unless something it does has to be waited for. */
  #readOn(): void {
    if (this.#waiting === 'nothing' && !this.#upstreamFull && !this.#clientFull && !this.#closed) this.#client.resume();
  }

  /** Stops before the message in hand until the server has answered what decides about it. */
  #waitForServer(): false {
    this.#waiting = 'server';
    // Inside a segment the server keeps its answers until it is asked.
    if (this.#pipeline.isSegmentOpen) this.#toUpstream.addMessage(FLUSH);
    return false;
  }

  message(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#closed) return true;
    if (this.#pipeline.skip !== SKIP.none && type !== FRONTEND.terminate) {
      if (type === FRONTEND.sync) this.#syncAfterSkip(bytes, start, end);
      return true;
    }
    // What is sent before the upstream has been told to cancel could be what it cancels.
    if (this.#cancelling && type !== FRONTEND.terminate) return this.#waitForServer();
    switch (type) {
      case FRONTEND.bind:
        return this.#bind(bytes, start, end);
      case FRONTEND.execute:
        return this.#execute(bytes, start, end);
      case FRONTEND.sync:
        this.#sync(bytes, start, end);
        return true;
      case FRONTEND.describe:
        return this.#describe(bytes, start, end);
      case FRONTEND.query:
        return this.#query(bytes, start, end);
      case FRONTEND.parse:
        return this.#parse(bytes, start, end);
      case FRONTEND.close:
        return this.#close(bytes, start, end);
      case FRONTEND.copyData:
        this.piece(type, bytes, start, end, true);
        return true;
      case FRONTEND.copyDone:
      case FRONTEND.copyFail:
        this.#copyEnd(bytes, start, end);
        return true;
      case FRONTEND.flush:
        this.#forward(bytes, start, end);
        return true;
      case FRONTEND.terminate:
        this.#end('client terminated');
        return true;
      case FRONTEND.functionCall:
        this.#functionCall(bytes, start, end);
        return true;
      default:
        throw new ProtocolViolation(`invalid frontend message type ${type}`);
    }
  }

  piece(_type: number, bytes: Buffer, start: number, end: number, opens: boolean): void {
    // Copy data behind a refused COPY: the server would ignore it ("Accept but ignore these messages", postgres.c).
    // Decided once for each message: what follows a part of one would be read as the rest of it.
    if (opens) this.#pieceForwarded = this.#pipeline.skip === SKIP.none && !this.#pipeline.isIdle;
    if (this.#pieceForwarded && !this.#closed) this.#toUpstream.add(bytes, start, end);
  }

  #forward(bytes: Buffer, start: number, end: number): void {
    if (this.#marked) this.#sinceMark.add(bytes, start, end);
    this.#toUpstream.add(bytes, start, end);
  }

  #query(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.#markOnce();
    if (bytes.indexOf(0, start + 5) !== end - 1)
      throw new ProtocolViolation('a query string that does not end with its message');
    const judgement = this.#judge(bytes, start + 5, end - 1);
    if (judgement === null) return false;
    if (judgement.usesNames && this.#namesUnsettled()) return this.#waitForServer();
    this.#sinceMark.add(bytes, start, end);

    const statements = this.#atMoment(judgement, null);
    const meter = this.#meter(statements);
    const refusal = this.#refusalOf(statements) ?? meter.refusal;
    if (refusal !== null) {
      this.#recorder.refused('query', statements, null, refusal);
      this.#refuseSimple(refusal);
      return true;
    }
    this.#toUpstream.add(bytes, start, end);
    const execution = statements.length === 0 ? null : this.#recorder.attempted('query', statements, null);
    if (meter.meter !== null) this.#measure(execution!, meter.meter);
    this.#noteSent(judgement, statements);
    this.#pipeline.sentQuery(execution);
    return true;
  }

  /** The function is named by its OID: what it does cannot be known here, and the rules for opaque statements apply. */
  #functionCall(bytes: Buffer, start: number, end: number): void {
    this.#markOnce();
    this.#sinceMark.add(bytes, start, end);
    const { functionOid } = decodeFunctionCall(bytes.subarray(start + 5, end));
    const judgement = this.#opaque(`FunctionCall ${functionOid}`, 'function called by its OID');
    const { statements } = judgement;
    const refusal = this.#refusalOf(statements);
    if (refusal !== null) {
      this.#recorder.refused('function call', statements, null, refusal);
      this.#refuseSimple(refusal);
      return;
    }
    this.#toUpstream.add(bytes, start, end);
    this.#noteSent(judgement, statements);
    this.#pipeline.sentQuery(this.#recorder.attempted('function call', statements, null));
  }

  #parse(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.#markOnce();
    const nameEnd = nulAt(bytes, start + 5, end);
    const textEnd = nulAt(bytes, nameEnd + 1, end);
    if (textEnd + 3 + 4 * ((bytes[textEnd + 1]! << 8) | bytes[textEnd + 2]!) !== end) {
      throw new ProtocolViolation('Parse has other parameter types than it says');
    }
    const name = nameAt(bytes, start + 5, nameEnd);
    if (this.#pipeline.namesInFlight > 0) return this.#waitForServer();
    const judgement = this.#judge(bytes, nameEnd + 1, textEnd);
    if (judgement === null) return false;
    if (judgement.usesNames && this.#namesUnsettled()) return this.#waitForServer();
    this.#sinceMark.add(bytes, start, end);

    const statements = this.#withNames(judgement);
    const refusal = this.#refusalOf(statements, isRefusedAlways);
    if (refusal !== null) {
      this.#recorder.refused('parse', statements, null, refusal);
      this.#refuseExtended(refusal);
      return true;
    }
    const prepared: Prepared = { judgement, recorded: statements.length === 0 };
    this.#parsed.push(prepared);
    this.#toUpstream.add(bytes, start, end);
    this.#pipeline.sentParse(name, prepared);
    return true;
  }

  #bind(bytes: Buffer, start: number, end: number): boolean {
    const portalEnd = nulAt(bytes, start + 5, end);
    const nameEnd = nulAt(bytes, portalEnd + 1, end);
    const name = nameAt(bytes, portalEnd + 1, nameEnd);
    if (this.#pipeline.namesInFlight > 0 || this.#pipeline.prepared.isAmbiguous(name, this.#pipeline.segment))
      return this.#waitForServer();
    const portal = nameAt(bytes, start + 5, portalEnd);
    const prepared = this.#preparedNamed(name) ?? this.#unknown(`prepared statement ${JSON.stringify(name)}`);
    this.#forward(bytes, start, end);
    this.#pipeline.sentBind(portal, { prepared, bytes, start, at: nameEnd + 1, end });
    return true;
  }

  #describe(bytes: Buffer, start: number, end: number): boolean {
    targetOf(bytes, start, end);
    this.#forward(bytes, start, end);
    this.#pipeline.sentDescribe();
    return true;
  }

  #close(bytes: Buffer, start: number, end: number): boolean {
    const { isStatement, name } = targetOf(bytes, start, end);
    if (isStatement && this.#pipeline.namesInFlight > 0) return this.#waitForServer();
    this.#forward(bytes, start, end);
    this.#pipeline.sentClose(isStatement, name);
    return true;
  }

  #execute(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.#markOnce();
    const nameEnd = nulAt(bytes, start + 5, end);
    if (nameEnd + 5 !== end) throw new ProtocolViolation('Execute has the wrong length');
    const name = nameAt(bytes, start + 5, nameEnd);
    if (this.#pipeline.portals.isAmbiguous(name, this.#pipeline.segment)) return this.#waitForServer();
    const portal = isAscii(name) ? this.#pipeline.portals.get(name) : null;
    const prepared = portal?.prepared ?? this.#unknown(`portal ${JSON.stringify(name)}`);
    const judgement = this.#judgeAgain(prepared.judgement);
    if (judgement === null) return false;
    prepared.judgement = judgement;
    if (judgement.usesNames && this.#namesUnsettled()) return this.#waitForServer();
    this.#sinceMark.add(bytes, start, end);

    const statements = this.#atMoment(judgement, portal);
    const meter = this.#meter(statements);
    const refusal = this.#refusalOf(statements) ?? meter.refusal;
    const binds = portal === null || statements.length === 0 ? null : bindsAsJson(portal.bytes, portal.at, portal.end);
    prepared.recorded = true;
    if (refusal !== null) {
      this.#recorder.refused('execute', statements, binds, refusal);
      this.#refuseExtended(refusal);
      return true;
    }
    this.#toUpstream.add(bytes, start, end);
    const execution = statements.length === 0 ? null : this.#recorder.attempted('execute', statements, binds);
    if (meter.meter !== null) this.#measure(execution!, meter.meter);
    this.#noteSent(judgement, statements);
    this.#pipeline.sentExecute(execution);
    return true;
  }

  #sync(bytes: Buffer, start: number, end: number): void {
    this.#forward(bytes, start, end);
    this.#pipeline.sentSync();
  }

  #syncAfterSkip(bytes: Buffer, start: number, end: number): void {
    const skip = this.#pipeline.skip;
    this.#pipeline.skip = SKIP.none;
    if (skip === SKIP.thenForward) {
      this.#sync(bytes, start, end);
      return;
    }
    if (this.#marked) this.#sinceMark.add(bytes, start, end);
    this.#answers.addMessage(READY_IDLE);
  }

  #copyEnd(bytes: Buffer, start: number, end: number): void {
    if (this.#pipeline.isIdle) return;
    this.#forward(bytes, start, end);
    this.#pipeline.sentCopyEnd();
  }

  // --- Judging ---------------------------------------------------------------------------------------------------

  /** The judgement of a text, or `null` if it has to be waited for. */
  #judge(bytes: Buffer, from: number, to: number): Judgement | null {
    const text = this.#reading.read(bytes, from, to, this.#pipeline.ended);
    if (text === null) return this.#opaque(bytes.toString('latin1', from, to), 'not readable in its client_encoding');
    const analysed = this.#takeAnalysed(text);
    if (analysed !== null) return analysed;
    const reading = { lexing: this.#reading.lexing(this.#pipeline.ended), names: this.#names() };
    return this.#now(this.start.judge.judge(text, reading));
  }

  /** The judgement of what was judged before, under the rules and names in force now, or `null` if it has to be waited for. */
  #judgeAgain(before: Judgement): Judgement | null {
    const analysed = before.reading === null ? null : this.#takeAnalysed(before.text);
    return analysed ?? this.#now(this.start.judge.again(before, this.#names()));
  }

  /** The judgement that was waited for, if it still holds. */
  #takeAnalysed(text: string): Judgement | null {
    const analysed = this.#analysed;
    this.#analysed = null;
    if (analysed?.text !== text || analysed.reading?.names !== this.#names()) return null;
    const again = this.start.judge.again(analysed, analysed.reading.names);
    return again instanceof Promise ? null : again;
  }

  #now(judgement: Judgement | Promise<Judgement>): Judgement | null {
    if (!(judgement instanceof Promise)) return judgement;
    this.#waiting = 'analysis';
    judgement.then(
      (done) => {
        this.#analysed = done;
        this.#resume();
      },
      (error: Error) => this.#fatal('XX000', `Sluice could not read a statement: ${error.message}`, 'analysis failed'),
    );
    return null;
  }

  #opaque(text: string, reason: string): Judgement {
    return this.start.judge.judgeFacts(text, opaqueText(text.length, reason), null);
  }

  /** What unqualified names mean now. */
  #names(): NameContext {
    const names = this.#namesInForce;
    if (names === null) return NO_NAMES;
    if (!names.isCurrent(this.#context)) this.#context = names.context(this.#pathUnsure ? [] : this.#path);
    return this.#context;
  }

  /**
   * Finds out what names mean after statements that may have changed it.
   * @returns false if that has to be waited for; true inside a pipeline segment, too, where names stay unknown instead
   */
  #awaitNames(): boolean {
    const names = this.#namesInForce;
    if (names === null || !(this.#pathUnsure || this.#schemaChanged)) return true;
    if (this.#pipeline.isSegmentOpen || this.#pipeline.hasFailed) return true;
    if (this.#pipeline.owesAnswers) return this.#waitForServer();
    if (this.#schemaChanged && !this.#pipeline.isInTransaction) {
      this.#schemaChanged = false;
      this.#waiting = 'analysis';
      const goOn = (): void => this.#resume();
      names.refresh().then(goOn, goOn);
      return false;
    }
    if (!this.#pathUnsure) return true;
    this.#toUpstream.addMessage(ASK_SEARCH_PATH);
    this.#pipeline.sentOwn();
    this.#pathRows = [];
    return this.#waitForServer();
  }

  #preparedNamed(name: string): Prepared | null {
    return isAscii(name) ? this.#pipeline.prepared.get(name) : null;
  }

  /** Something the server may know by a name that Sluice has not seen defined. */
  #unknown(what: string): Prepared {
    return { judgement: this.#opaque('', `unknown ${what}`), recorded: true };
  }

  /** True while a statement is in flight, or a name undecided, that a statement with names depends on. */
  #namesUnsettled(): boolean {
    return this.#pipeline.namesInFlight > 0 || this.#pipeline.owesAnswers;
  }

  #withNames(judgement: Judgement): readonly JudgedStatement[] {
    if (!judgement.usesNames) return judgement.statements;
    return judgeWithNames(judgement, this.start.judge, this.#names(), (name) => this.#preparedNamed(nameInText(name)));
  }

  /** The statements of a text as they are judged at this execution of it. @param portal holds its bind values */
  #atMoment(judgement: Judgement, portal: Portal | null): readonly JudgedStatement[] {
    const statements = this.#withNames(judgement);
    if (statements.every(isStable)) return statements;
    const moment = this.#moment(judgement.text, portal);
    return statements.map((statement) => this.start.judge.atMoment(statement, moment));
  }

  #moment(text: string, portal: Portal | null): Moment {
    const { id, address, tls, claimed } = this.start;
    const inText = claimsInComment(text);
    const settings = new Map([...this.#reading.settings].map(([name, value]) => [name.toLowerCase(), value]));
    return {
      now: Date.now(),
      claimed: inText === null ? claimed : new Map([...claimed, ...inText]),
      binds: portal === null ? [] : bindsAsText(portal.bytes, portal.start, portal.end),
      session: { id, address, tls, inTransaction: this.#pipeline.isInTransaction, settings },
      estimate: null,
    };
  }

  /** Why these statements may not run, or `null`. */
  #refusalOf(statements: readonly JudgedStatement[], counts = isRefused): Refusal | null {
    const first = statements[0];
    if (first === undefined) return null;
    const failure = this.#services.journal.failure;
    if (failure !== null) return notRecorded(failure, first.facts.kind);
    for (let i = 0; i < statements.length; i++) {
      if (!counts(statements[i]!)) continue;
      const { verdict, facts } = statements[i]!;
      if (verdict.action !== 'allow') return refusedByRule(verdict, facts.kind);
      if (facts.refuses !== null) return unsafeEncoding(facts.refuses, facts.kind);
    }
    return null;
  }

  // --- Budgets -----------------------------------------------------------------------------------------------------

  /** The meter of an execution, or why it may not begin. */
  #meter(statements: readonly JudgedStatement[]): { readonly meter: Meter | null; readonly refusal: Refusal | null } {
    if (!statements.some(hasLimits) || statements.some(isRefused)) return UNMETERED;
    const limits = statements.flatMap(({ verdict }) => verdict.limits);
    const who = { subject: this.start.identity.subject, session: this.id };
    const begun = this.#services.budgets.begin(limits, who, Date.now());
    if (begun === null) return UNMETERED;
    if (begun instanceof Meter) return { meter: begun, refusal: null };
    return { meter: null, refusal: overBudget(begun, statements[0]!.facts.kind) };
  }

  #measure(execution: Execution, meter: Meter): void {
    execution.meter = meter;
    const left = meter.millisecondsLeft(Date.now());
    if (left === Number.POSITIVE_INFINITY) return;
    execution.timer = setTimeout(() => {
      const over = execution.isDone ? null : meter.end(left + 1, Date.now());
      if (over !== null) this.#cut(execution, over);
    }, left + 1).unref();
  }

  /** @returns true if a row or a piece of copy data of this size is over the budget, and not for the client */
  #isOver(running: Execution, bytes: number): boolean {
    if (running.meter === null) return false;
    if (running.over !== null) return true;
    const over = running.meter.add(1, bytes, Date.now());
    if (over !== null) this.#cut(running, over);
    return over !== null;
  }

  /** No more of this result reaches the client; the upstream is asked to stop making it. */
  #cut(execution: Execution, over: OverLimit): void {
    execution.over = over;
    this.#cancelling = true;
    const done = (): void => {
      this.#cancelling = false;
      if (this.#waiting === 'server') this.#resume();
    };
    this.start.cancel().then(done, done);
  }

  #noteSent(judgement: Judgement, statements: readonly JudgedStatement[]): void {
    if (judgement.changesLexing) this.#reading.unsureUntil = this.#pipeline.segment;
    if (judgement.changesPortals) this.#pipeline.portals.forgetAllBut('');
    if (this.#namesInForce !== null) for (const { facts } of statements) this.#noteNames(facts);
  }

  #noteNames(facts: StatementFacts): void {
    const changes = mayChangeSearchPath(facts);
    // The end of a transaction, or of a part of it, takes back what was done to the path in it.
    const endsChange = this.#pathTouched && facts.effects.some(({ effect }) => effect === 'transaction');
    if (changes || endsChange) {
      this.#pathUnsure = true;
      this.#context = NO_NAMES;
    }
    if (changes) this.#pathTouched = true;
    if (mayChangeSchema(facts)) this.#schemaChanged = true;
  }

  // --- Refusing --------------------------------------------------------------------------------------------------

  /**
   * Refuses a simple Query. In a transaction, or with answers outstanding, the server itself is made to fail in its
   * place, so that the transaction's state is the server's own doing.
   */
  #refuseSimple(refusal: Refusal): void {
    if (this.#pipeline.isIdle) {
      this.#answers.addMessage(refusalResponse(refusal));
      this.#answers.addMessage(READY_IDLE);
      return;
    }
    this.#toUpstream.addMessage(encodeQuery(`sluice_refused_this by ${refusal.by}`));
    this.#pipeline.sentRefusedQuery(refusal);
  }

  /** Refuses a message of the extended protocol: everything up to the next Sync is skipped, as the server would. */
  #refuseExtended(refusal: Refusal): void {
    if (this.#pipeline.isIdle) {
      this.#answers.addMessage(refusalResponse(refusal));
      this.#pipeline.skip = SKIP.thenAnswer;
      return;
    }
    this.#toUpstream.addMessage(encodeExecute({ portal: `${NONCE} sluice refused this by ${refusal.by}`, maxRows: 0 }));
    this.#pipeline.sentRefusedExecute(refusal);
  }

  // --- The end of a turn -----------------------------------------------------------------------------------------

  #stage(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.#services.turn.join(this);
  }

  #markOnce(): void {
    if (this.#marked) return;
    this.#marked = true;
    this.#toUpstream.mark();
    this.#answers.mark();
    this.#pipeline.mark();
    this.#markUnsureUntil = this.#reading.unsureUntil;
  }

  beforeFlush(): void {
    const parsed = this.#parsed;
    if (parsed.length === 0) return;
    this.#parsed = [];
    for (const prepared of parsed) {
      if (prepared.recorded) continue;
      prepared.recorded = true;
      // The server plans, and may compute constants, before anything is executed: the text is recorded before it gets there.
      this.#recorder.prepared(prepared.judgement.statements);
    }
  }

  release(): void {
    this.#inTurn = false;
    if (this.#marked) {
      this.#marked = false;
      this.#sinceMark.clear();
      this.#pipeline.unmark();
    }
    if (!this.#client.destroyed) {
      if (!this.#answers.isEmpty && !this.#answers.writeTo(this.#client)) {
        this.#clientFull = true;
        this.#client.pause();
      }
      if (!this.#toClient.isEmpty) this.#toClient.writeTo(this.#client);
    }
    if (!this.#toUpstream.isEmpty && this.#upstream.writable && !this.#toUpstream.writeTo(this.#upstream)) {
      this.#upstreamFull = true;
      this.#client.pause();
    }
    if (this.#closed) this.#finish();
    else if (this.#clientGone && this.#waiting === 'nothing') this.#upstream.end();
  }

  unrecorded(): void {
    if (!this.#marked) {
      this.release();
      return;
    }
    // Nothing since the mark has left: take it back, and judge it again now that nothing can be recorded.
    this.#marked = false;
    this.#toUpstream.cutBack();
    this.#answers.cutBack();
    this.#parsed = [];
    // Copy data that is still coming began after the mark: its beginning has just been dropped.
    this.#pieceForwarded = false;
    if (this.#closed) {
      this.#sinceMark.clear();
      this.release();
      return;
    }
    this.#pipeline.takeBack();
    this.#reading.unsureUntil = this.#markUnsureUntil;
    const messages = Buffer.concat(this.#sinceMark.take());
    try {
      for (let at = 0; at < messages.length; ) {
        const end = at + 1 + messages.readInt32BE(at + 1);
        if (!this.message(messages[at]!, messages, at, end)) {
          this.#fatal('58030', 'Sluice cannot record statements.', 'cannot record');
          break;
        }
        at = end;
      }
    } catch (error) {
      this.#protocolError(error);
    }
    this.beforeFlush();
    this.release();
    // What it waited for may have been taken back.
    if (this.#waiting === 'server') this.#resume();
  }

  // --- Server to client ------------------------------------------------------------------------------------------

  /** Takes bytes from the upstream. */
  fromUpstream(chunk: Buffer): void {
    if (this.#closed) return;
    this.lastActivity = this.#services.now();
    try {
      this.#fromUpstream.push(chunk);
    } catch (error) {
      this.#services.log.error(
        { session: this.id, connection: this.start.connection.name, error: (error as Error).message },
        'upstream broke the protocol',
      );
      this.#fatal(
        '08006',
        `The upstream of connection "${this.start.connection.name}" broke the protocol.`,
        'upstream broke the protocol',
      );
      return;
    }
    if (!this.#toClient.isEmpty && !this.#toClient.writeTo(this.#client)) this.#upstream.pause();
    if (this.#waiting === 'server') this.#resume();
    if (this.#draining && this.#pipeline.isIdle) this.#drainNow();
  }

  #serverPiece(type: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void {
    if (type !== BACKEND.dataRow) this.#rowsOf = null;
    const running = this.#pipeline.running;
    if (opens) {
      const isRow = type === BACKEND.dataRow || type === BACKEND.copyData;
      this.#pieceDropped =
        this.#isDropped(type) || (isRow && running !== null && this.#isOver(running, bytes.readInt32BE(start + 1)));
    }
    if (!this.#pieceDropped) this.#toClient.add(bytes, start, end);
    if (running !== null) {
      running.bytes += end - start;
      if (opens && type === BACKEND.dataRow) running.rows++;
    }
    // What needs no content is settled when it is whole.
    if (closes && type !== BACKEND.dataRow && type !== BACKEND.copyData) this.#completed(type);
  }

  #serverMessage(type: number, bytes: Buffer, start: number, end: number): boolean {
    const rowsOf = this.#rowsOf;
    if (rowsOf !== null) {
      if (type === BACKEND.dataRow) {
        rowsOf.rows++;
        rowsOf.bytes += end - start;
        this.#toClient.add(bytes, start, end);
        return true;
      }
      this.#rowsOf = null;
    }
    if (this.#pipeline.answersOwn && this.#ownAnswer(type, bytes, start, end)) return true;
    switch (type) {
      case BACKEND.dataRow: {
        const running = this.#pipeline.running;
        if (running !== null) {
          if (this.#isOver(running, end - start)) return true;
          running.rows++;
          running.bytes += end - start;
          if (running.meter === null && !this.#dropToReady) this.#rowsOf = running;
        }
        break;
      }
      case BACKEND.copyData: {
        const running = this.#pipeline.running;
        if (running !== null) {
          if (this.#isOver(running, end - start)) return true;
          running.bytes += end - start;
        }
        break;
      }
      case BACKEND.commandComplete:
        if (this.#completedOver()) return true;
        this.#pipeline.settleCommandComplete(bytes.toString('latin1', start + 5, end - 1));
        break;
      case BACKEND.readyForQuery:
        this.#dropToReady = false;
        this.#toClient.add(bytes, start, end);
        this.#pipeline.settleReadyForQuery(bytes[start + 5]!);
        return true;
      case BACKEND.errorResponse:
        this.#errorResponse(bytes, start, end);
        return true;
      case BACKEND.parameterStatus:
        this.#parameterStatus(bytes.subarray(start + 5, end));
        break;
      default:
        this.#completed(type);
    }
    if (!this.#isDropped(type)) this.#toClient.add(bytes, start, end);
    return true;
  }

  /** @returns false for what the server says unasked, which is for the client */
  #ownAnswer(type: number, bytes: Buffer, start: number, end: number): boolean {
    switch (type) {
      case BACKEND.dataRow:
        this.#pathRows.push(Buffer.from(bytes.subarray(start + 5, end)));
        return true;
      case BACKEND.readyForQuery:
        this.#pipeline.settleOwn(bytes[start + 5]!);
        this.#path = searchPathOf(this.#pathRows);
        this.#pathRows = [];
        this.#pathUnsure = false;
        this.#context = NO_NAMES;
        if (!this.#pipeline.isInTransaction) this.#pathTouched = false;
        return true;
      case BACKEND.noticeResponse:
      case BACKEND.notificationResponse:
      case BACKEND.parameterStatus:
        return false;
      case BACKEND.errorResponse: {
        const { severityNonLocalized } = decodeErrorResponse(bytes.subarray(start + 5, end));
        return severityNonLocalized === 'ERROR';
      }
      default:
        return true;
    }
  }

  #isDropped(type: number): boolean {
    if (type === BACKEND.noticeResponse && this.#pipeline.withholdsMessages) return true;
    return this.#dropToReady && type !== BACKEND.parameterStatus && type !== BACKEND.notificationResponse;
  }

  /**
   * The upstream completed a result over its budget before it was cancelled: the client gets the error all the same, in the
   * place of the completion, and nothing more of this Query or up to this Sync.
   */
  #completedOver(): boolean {
    const running = this.#pipeline.running;
    if (running?.over == null || this.#dropToReady) return false;
    this.#toClient.addMessage(refusalResponse(overBudget(running.over, running.statements[0]!.facts.kind)));
    this.#dropToReady = true;
    this.#pipeline.settleCut();
    return true;
  }

  /** A message of a type whose content does not matter here. */
  #completed(type: number): void {
    switch (type) {
      case BACKEND.parseComplete:
        this.#pipeline.settle(EXPECT.parse);
        return;
      case BACKEND.bindComplete:
        this.#pipeline.settle(EXPECT.bind);
        return;
      case BACKEND.closeComplete:
        this.#pipeline.settle(EXPECT.close);
        return;
      case BACKEND.noData:
        this.#pipeline.settle(EXPECT.describe);
        return;
      case BACKEND.rowDescription:
        this.#pipeline.settleIfNext(EXPECT.describe);
        return;
      case BACKEND.emptyQueryResponse:
        this.#pipeline.settleIfNext(EXPECT.execute);
        return;
      case BACKEND.portalSuspended:
        this.#pipeline.settlePortalSuspended();
        return;
      case BACKEND.copyInResponse:
        this.#pipeline.settleCopyInResponse();
        return;
      default:
        // ParameterDescription, NoticeResponse, NotificationResponse, CopyOutResponse, CopyDone: nothing to settle.
        return;
    }
  }

  #errorResponse(bytes: Buffer, start: number, end: number): void {
    const fields = decodeErrorResponse(bytes.subarray(start + 5, end));
    const { severity, severityNonLocalized, code } = fields;
    const word = severityNonLocalized ?? severity;
    if (word === 'FATAL' || word === 'PANIC') {
      this.#endReason ||= `upstream: ${code}`;
      this.#toClient.add(bytes, start, end);
      return;
    }
    const withholds = this.#pipeline.withholdsMessages;
    const refusal = this.#pipeline.settleError(code);
    if (this.#dropToReady) return;
    if (refusal === null && withholds) this.#toClient.addMessage(withheldError(fields));
    else if (refusal === null) this.#toClient.add(bytes, start, end);
    else this.#toClient.addMessage(refusalResponse(refusal));
  }

  #parameterStatus(body: Buffer): void {
    const { name, value } = decodeParameterStatus(body);
    this.#reading.report(name, value);
    if (name === 'client_encoding' && isUnsafeEncoding(value)) {
      this.#fatal('22023', `client_encoding ${value} cannot be used through Sluice.`, 'unsafe client_encoding');
    }
  }

  // --- The ends --------------------------------------------------------------------------------------------------

  /** Other rules are in force, and with them names may have begun to matter. */
  setNames(names: NamesInForce | null): void {
    if (this.#namesInForce === null && names !== null) this.#pathUnsure = true;
    this.#namesInForce = names;
    this.#context = NO_NAMES;
  }

  /** The client's socket can take more. */
  clientDrained(): void {
    if (this.#closed) return;
    this.#upstream.resume();
    this.#clientFull = false;
    this.#readOn();
  }

  upstreamDrained(): void {
    this.#upstreamFull = false;
    this.#readOn();
  }

  /** True while the server owes nothing and the client says nothing, in a transaction or not. */
  isSilentSince(time: number): boolean {
    return !this.#pipeline.owesAnswers && this.lastActivity < time;
  }

  /** The client sent its last byte. The server answers what it has in hand and ends the session, as it would without us. */
  clientEnded(): void {
    if (this.#closed) return;
    this.#clientGone = true;
    this.#stage();
  }

  clientClosed(reason: string): void {
    this.#end(reason);
    this.#stage();
  }

  upstreamClosed(reason: string): void {
    if (this.#closed) return;
    if (!this.#clientGone && this.#endReason === '' && this.#fromUpstream.atBoundary) {
      this.#fatal('08006', `The upstream of connection "${this.start.connection.name}" closed the connection.`, reason);
    } else {
      this.#end(this.#clientGone ? 'client closed' : reason);
      this.#stage();
    }
  }

  /** Ends the session with an error for the client. */
  terminate(code: string, message: string, reason: string): void {
    this.#fatal(code, message, reason);
  }

  /** Ends the session as soon as no transaction is open. */
  drain(): void {
    this.#draining = true;
    if (this.#pipeline.isIdle) this.#drainNow();
  }

  #drainNow(): void {
    this.#fatal('57P01', 'Sluice is shutting down.', 'drained');
  }

  #protocolError(error: unknown): void {
    if (error instanceof ProtocolViolation) {
      this.#services.log.warn({ session: this.id, violation: error.message }, 'client broke the protocol');
      this.#services.counters.violations++;
      this.#fatal(error.code, error.message, 'protocol violation');
      return;
    }
    this.#services.log.error({ session: this.id, err: error }, 'internal error');
    this.#fatal(
      'XX000',
      'Internal error in Sluice; the session was ended and nothing more was forwarded.',
      'internal error',
    );
  }

  /** Tells the client why, forwards nothing more, and ends. */
  #fatal(code: string, message: string, reason: string): void {
    if (this.#closed) return;
    if (this.#marked) {
      this.#marked = false;
      this.#toUpstream.cutBack();
    }
    if (this.#fromUpstream.atBoundary) this.#toClient.addMessage(encodeErrorResponse(fatal(code, message)));
    this.#end(reason);
    this.#stage();
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endReason ||= reason;
  }

  /** The last bytes are with the sockets. */
  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#pipeline.settleLost();
    this.#services.budgets.endSession(this.id);
    this.#recorder.sessionEnded(this.#endReason);
    endSocket(this.#client);
    endSocket(this.#upstream, encodeTerminate());
    this.#services.ended(this);
  }
}

function isStable({ verdict }: JudgedStatement): boolean {
  return verdict.stable;
}

function hasLimits({ verdict }: JudgedStatement): boolean {
  return verdict.limits.length > 0;
}

function isRefused({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses !== null || verdict.action !== 'allow';
}

/** True if no values and no moment can make the statement pass: then it need not reach the server to be parsed. */
function isRefusedAlways({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses !== null || (verdict.action === 'deny' && verdict.stable);
}
