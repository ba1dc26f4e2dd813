import { hash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  BACKEND,
  decodeCopyOutResponse,
  decodeErrorResponse,
  decodeNotificationResponse,
  decodeParameterStatus,
  encodeErrorResponse,
  encodeNoticeResponse,
  encodeNotificationResponse,
  encodeReadyForQuery,
} from '../../../protocols/postgres/backend.ts';
import { type FrameRules, Framer, type FrameSink } from '../../../protocols/postgres/framing.ts';
import {
  decodeBind,
  decodeFunctionCall,
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeQuery,
  encodeSync,
  encodeTerminate,
  FRONTEND,
} from '../../../protocols/postgres/frontend.ts';
import { hasCodec, textOfBinary } from '../../../protocols/postgres/values.ts';
import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';
import type { Preview, Question } from '../../approvals/request.ts';
import type { Estimate, EstimateQuestion } from '../../catalog/estimates.ts';
import type { Redaction } from '../../config/redaction.ts';
import { REDACTED } from '../../masking/masker.ts';
import type { NameContext } from '../../statements/catalogue.ts';
import { opaqueText, type StatementFacts } from '../../statements/facts.ts';
import { isUnsafeEncoding } from '../../statements/postgres/encodings.ts';
import { withValues, wordsOf } from '../../statements/postgres/words.ts';
import { returnsRows, whyUnguarded } from '../guarded.ts';
import {
  isDenied,
  isHeld,
  isRefused,
  isRefusedAlways,
  isStable,
  type JudgedStatement,
  type Judgement,
} from '../judge.ts';
import { dependsOnSession, hasLooseNames } from '../meaning.ts';
import { momentOf } from '../moment.ts';
import { judgeWithNames, type NamedStatement } from '../names-in-text.ts';
import { verdictRows } from '../own-answers.ts';
import { previewOf } from '../preview.ts';
import { questionAbout } from '../question.ts';
import { notAlone, overApproved, type Refusal, refusalOf, type Unholdable, unmaskable } from '../refusal.ts';
import { mayChangeSchema } from '../schema-changes.ts';
import type { SessionServices } from '../services.ts';
import { type Decided, isAnswered, Session } from '../session.ts';
import type { SessionStart } from '../session-start.ts';
import { Execution } from '../statement-recorder.ts';
import { writesBack, writesMasked } from '../written-masks.ts';
import { bindsAsJson, bindsAsText, MOST_RECORDED } from './binds.ts';
import { fatal, refusalResponse, withheldError } from './errors.ts';
import { EXPECT } from './expected.ts';
import { BACKEND_RULES } from './frame-rules.ts';
import { type ResultSettings, resultSettings } from './masked-results.ts';
import { isAscii, isLatin1, nameAt, nameInText, nulAt, targetOf } from './message-names.ts';
import { ownBind, ownParse, ownQuery, parameterTypes, withoutLastParameter } from './own-queries.ts';
import { Described, Pipeline, type Portal, type Prepared, SKIP } from './pipeline.ts';
import { isLookedAt, ResultMasking } from './result-masking.ts';
import { ASK_SEARCH_PATH, mayChangeSearchPath, type RoleAndPath, roleAndPathOf } from './search-path.ts';
import { SettingClaims } from './setting-claims.ts';
import { TextReading } from './text-reading.ts';

const READY_IDLE = encodeReadyForQuery('I');
const FLUSH = encodeFlush();
const SYNC = encodeSync();
const BIND_UNNAMED = encodeBind({
  portal: '',
  statement: '',
  parameterFormats: [],
  parameters: [],
  resultFormats: [],
});
const DESCRIBE_UNNAMED = encodeDescribe({ kind: 'portal', name: '' });
const EXECUTE_UNNAMED = encodeExecute({ portal: '', maxRows: 0 });
const NOTHING_JUDGED = { asks: null, statements: [] };
/** What a Describe is about, as its byte. */
const PORTAL = 0x50; // P

/** Begins the name of the portal that does not exist, so that nobody can make it exist; the server reads 63 bytes of it. */
const NONCE = randomBytes(9).toString('base64url');

/** Settings that decide which value a literal is. */
const READS_VALUES = ['DateStyle', 'IntervalStyle', 'TimeZone', 'client_encoding'];

/** A statement that may change so many rows and no more. */
interface Guard {
  readonly execution: Execution;
  readonly request: number;
  readonly rows: number;
  /** True if the client sent a Query, and waits for its ReadyForQuery. */
  readonly isQuery: boolean;
  /** True once the server has been sent what undoes it. */
  isUndone: boolean;
}

/**
 * A session in PostgreSQL's protocol: what each message means for what is judged, staged and settled.
 * See docs/data-path.md.
 */
export class PostgresSession extends Session implements FrameSink {
  readonly #reading: TextReading;
  readonly #fromClient: Framer;
  readonly #fromUpstream: Framer;
  readonly #pipeline: Pipeline;
  /** True if the CopyData message that comes in pieces is forwarded. */
  #pieceForwarded = false;
  /** Parses of this turn, to be recorded if nothing executes them in it. */
  #parsed: Prepared[] = [];
  /**
   * Whose rows come in, once it is known that there is nothing to do about them but to count: until any other message comes,
   * a row costs no more than that.
   */
  #rowsOf: Execution | null = null;
  /** What rewrites the row that comes in; `null` if it stays as it is. */
  #rowMasking: ResultMasking | null = null;
  /** True if the row that comes in pieces is not for the client. */
  #pieceDropped = false;
  /** True after our own error in the place of a completion: nothing up to ReadyForQuery is for the client. */
  #dropToReady = false;
  /** True if the search path was changed in a transaction that may still take that back. */
  #pathTouched = false;
  readonly #claims: SettingClaims;
  /** What a question of our own is about, rows of its answer, and what has come so far of a message of that answer. */
  #asked: 'path' | 'claims' = 'path';
  #askedRows: Buffer[] = [];
  #ownPieces: Buffer[] = [];
  /** The role it acts as, when that was last asked. */
  #role: string;
  /** What runs with an approved number of rows: nothing else is sent before it has ended. */
  #guard: Guard | null = null;
  /** The completion of a guarded Query, which its client is told once it is committed. */
  #heldCompletion: Buffer | null = null;
  /** What has run by an approval since the mark. */
  #grantedPortals: Portal[] = [];
  /** The prepared statement that was bound last. */
  #lastBound = '';
  /** The tag that came last. */
  #lastTag = '';
  /** How far text was sure to be read before the mark. */
  #markUnsureUntil = 0;

  /**
   * @param frontendRules bounds of what a client may send
   * @param parameters the upstream's, as ParameterStatus messages gave them during its start
   * @param roleAndPath as the server says; empty if that does not matter
   */
  constructor(
    services: SessionServices,
    frontendRules: FrameRules,
    client: Socket,
    upstream: Socket,
    start: SessionStart,
    parameters: ReadonlyMap<string, string>,
    { role, path }: RoleAndPath,
  ) {
    super(services, client, upstream, start, path);
    this.#role = role;
    this.#claims = new SettingClaims(start.claims);
    this.#pipeline = new Pipeline(this.recorder, start.judge);
    this.#reading = new TextReading(parameters);
    this.#fromClient = new Framer(this, frontendRules);
    this.#fromUpstream = new Framer(
      {
        message: (type, bytes, from, to) => this.#serverMessage(type, bytes, from, to),
        piece: (type, bytes, from, to, opens, closes) => this.#serverPiece(type, bytes, from, to, opens, closes),
        passed: (bytes, from, to, begun) => this.#rowsPassed(bytes, from, to, begun),
      },
      BACKEND_RULES,
    );
  }

  protected get isIdle(): boolean {
    return this.#pipeline.isIdle;
  }

  get owesAnswers(): boolean {
    return this.#pipeline.owesAnswers;
  }

  protected get isGuarding(): boolean {
    return this.#guard?.isQuery === true;
  }

  protected get upstreamAtBoundary(): boolean {
    return this.#fromUpstream.atBoundary;
  }

  protected get farewell(): Buffer {
    return encodeTerminate();
  }

  protected isViolation(error: unknown): error is Error {
    return error instanceof ProtocolViolation;
  }

  protected encodeWaiting(request: number, message: string, link: string | null): Buffer {
    return encodeNoticeResponse({
      severity: 'NOTICE',
      severityNonLocalized: 'NOTICE',
      code: '00000',
      message: `${message} Waiting for it as request ${request}.`,
      ...(link !== null && { detail: link }),
    });
  }

  protected get identityEnded(): string {
    return '57P01';
  }

  protected encodeFatal(code: string, message: string): Buffer {
    return encodeErrorResponse(fatal(code, message));
  }

  protected settleLost(): void {
    this.#pipeline.settleLost();
  }

  // --- Client to server ------------------------------------------------------------------------------------------

  protected readClient(chunk: Buffer, from: number): number {
    // Whether copy data is forwarded was decided before the server said more.
    this.#fromClient.passing = 0;
    return this.#fromClient.push(chunk, from);
  }

  protected override waitForServer(): false {
    // Inside a segment the server keeps its answers until it is asked.
    if (this.#pipeline.isSegmentOpen) this.toUpstream.addMessage(FLUSH);
    return super.waitForServer();
  }

  message(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.isClosed) return true;
    if (this.#pipeline.skip !== SKIP.none && type !== FRONTEND.terminate) {
      if (type === FRONTEND.sync) this.#syncAfterSkip(bytes, start, end);
      return true;
    }
    // What is sent before the upstream has been told to cancel could be what it cancels.
    if ((this.metering.isCancelling || this.#guard !== null) && type !== FRONTEND.terminate)
      return this.waitForServer();
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
        this.end('client terminated');
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
    if (!this.#pieceForwarded || this.isClosed) return;
    this.toUpstream.add(bytes, start, end);
    this.#fromClient.passing = FRONTEND.copyData;
  }

  passed(bytes: Buffer, start: number, end: number): void {
    this.toUpstream.add(bytes, start, end);
  }

  #forward(bytes: Buffer, start: number, end: number): void {
    this.keepForAgain(bytes, start, end);
    this.toUpstream.add(bytes, start, end);
  }

  #query(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.markOnce();
    if (bytes.indexOf(0, start + 5) !== end - 1)
      throw new ProtocolViolation('a query string that does not end with its message');
    const judgement = this.#judge(bytes, start + 5, end - 1);
    if (judgement === null) return false;
    if (judgement.asks !== null) return this.#ownQuery(judgement, bytes, start, end);
    this.#claims.coming(judgement.statements);
    if (judgement.usesNames && this.#namesUnsettled()) return this.waitForServer();
    const decided = this.#passes(judgement) ? null : this.#decide(judgement, null, true);
    if (decided === 'wait') return false;
    this.keepForAgain(bytes, start, end);

    const statements = decided?.statements ?? judgement.statements;
    const refusal = decided?.refusal ?? this.#writesBack(statements, null);
    if (refusal !== null) {
      this.recorder.refused('query', statements, null, refusal);
      this.#refuseSimple(refusal);
      return true;
    }
    const grant = decided?.grant ?? null;
    const execution =
      statements.length === 0 ? null : this.recorder.attempted('query', statements, null, grant?.request ?? null);
    if (execution !== null) this.#maskResults(execution, ResultMasking.of(statements, null, this.toClient));
    if (decided?.meter != null) this.metering.attach(execution!, decided.meter);
    this.#noteSent(judgement, statements);
    if (grant?.rows != null && whyUnguarded(statements) === null) {
      this.#sendGuarded(bytes.subarray(start + 5, end), execution!);
      this.#guard = { execution: execution!, request: grant.request, rows: grant.rows, isQuery: true, isUndone: false };
      return true;
    }
    this.toUpstream.add(bytes, start, end);
    this.#pipeline.sentQuery(execution);
    return true;
  }

  /** The function is named by its OID: what it does cannot be known here, and the rules for opaque statements apply. */
  #functionCall(bytes: Buffer, start: number, end: number): void {
    this.markOnce();
    this.keepForAgain(bytes, start, end);
    const { functionOid } = decodeFunctionCall(bytes.subarray(start + 5, end));
    const judgement = this.#opaque(`FunctionCall ${functionOid}`, 'function called by its OID');
    const { statements } = judgement;
    const refusal = this.#refusalOf(statements);
    if (refusal !== null) {
      this.recorder.refused('function call', statements, null, refusal);
      this.#refuseSimple(refusal);
      return;
    }
    this.toUpstream.add(bytes, start, end);
    this.#noteSent(judgement, statements);
    this.#pipeline.sentQuery(this.recorder.attempted('function call', statements, null));
  }

  #parse(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.markOnce();
    const nameEnd = nulAt(bytes, start + 5, end);
    const textEnd = nulAt(bytes, nameEnd + 1, end);
    if (textEnd + 3 + 4 * ((bytes[textEnd + 1]! << 8) | bytes[textEnd + 2]!) !== end) {
      throw new ProtocolViolation('Parse has other parameter types than it says');
    }
    const name = nameAt(bytes, start + 5, nameEnd);
    if (this.#pipeline.namesInFlight > 0) return this.waitForServer();
    const judgement = this.#judge(bytes, nameEnd + 1, textEnd);
    if (judgement === null) return false;
    if (judgement.usesNames && this.#namesUnsettled()) return this.waitForServer();
    this.keepForAgain(bytes, start, end);

    const { asks } = judgement;
    const statements = this.#withNames(judgement);
    const refusal =
      this.#refusalOf(statements, isRefusedAlways) ??
      (asks?.question === null ? notAlone(statements[0]!.facts.kind) : null);
    if (refusal !== null) {
      this.recorder.refused('parse', statements, null, refusal);
      this.#refuseExtended(refusal);
      return true;
    }
    const types = textEnd + 3 === end ? '' : bytes.toString('latin1', textEnd + 1, end);
    const prepared: Prepared = { judgement, types, recorded: statements.length === 0, description: null };
    this.#parsed.push(prepared);
    if (asks === null) this.toUpstream.add(bytes, start, end);
    else {
      const { question } = asks;
      const known = question?.asks === 'verdict' ? this.#parameterTypes(judgement.text.slice(question.from!)) : [];
      this.toUpstream.addMessage(ownParse(question!.asks, bytes.subarray(start + 5, end), known));
    }
    this.#pipeline.sentParse(name, prepared);
    return true;
  }

  #bind(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    const portalEnd = nulAt(bytes, start + 5, end);
    const nameEnd = nulAt(bytes, portalEnd + 1, end);
    const name = nameAt(bytes, portalEnd + 1, nameEnd, this.#lastBound);
    this.#lastBound = name;
    if (this.#pipeline.namesInFlight > 0 || this.#pipeline.prepared.isAmbiguous(name, this.#pipeline.segment))
      return this.waitForServer();
    const portal = nameAt(bytes, start + 5, portalEnd);
    const prepared = this.#preparedNamed(name) ?? this.#unknown(`prepared statement ${JSON.stringify(name)}`);
    const bound: Portal = {
      prepared,
      bytes,
      start,
      at: nameEnd + 1,
      end,
      grant: null,
      path: this.names.current.searchPath,
      role: this.#role,
      description: null,
      describedIn: 0,
    };
    if (prepared.judgement.asks === null) this.#forward(bytes, start, end);
    else if (!this.#ownBind(bound)) return false;
    if (this.#pipeline.skip === SKIP.none) this.#pipeline.sentBind(portal, bound);
    return true;
  }

  #describe(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    const { isStatement, name } = targetOf(bytes, start, end);
    const { namesInFlight, prepared, segment } = this.#pipeline;
    if (isStatement && (namesInFlight > 0 || prepared.isAmbiguous(name, segment))) return this.waitForServer();
    this.#forward(bytes, start, end);
    this.#pipeline.sentDescribe(this.#describedBy(isStatement, name));
    return true;
  }

  #close(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    const { isStatement, name } = targetOf(bytes, start, end);
    if (isStatement && this.#pipeline.namesInFlight > 0) return this.waitForServer();
    this.#forward(bytes, start, end);
    this.#pipeline.sentClose(isStatement, name);
    return true;
  }

  #execute(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitNames()) return false;
    this.markOnce();
    const nameEnd = nulAt(bytes, start + 5, end);
    if (nameEnd + 5 !== end) throw new ProtocolViolation('Execute has the wrong length');
    const name = nameAt(bytes, start + 5, nameEnd);
    if (this.#pipeline.portals.isAmbiguous(name, this.#pipeline.segment)) return this.waitForServer();
    const portal = isAscii(name) ? this.#pipeline.portals.get(name) : null;
    const prepared = portal?.prepared ?? this.#unknown(`portal ${JSON.stringify(name)}`);
    const judgement = this.judgeAgain(prepared.judgement, portal === null ? undefined : this.names.of(portal.path));
    if (judgement === null) return false;
    // Other names can mean other columns of the same types: what was described before is not what will come.
    if (judgement !== prepared.judgement) prepared.description = null;
    prepared.judgement = judgement;
    this.#claims.coming(judgement.statements);
    if (judgement.usesNames && this.#namesUnsettled()) return this.waitForServer();
    const decided = this.#passes(judgement) ? null : this.#decide(judgement, portal, bytes.readInt32BE(end - 4) === 0);
    if (decided === 'wait') return false;
    this.keepForAgain(bytes, start, end);

    const statements = decided?.statements ?? judgement.statements;
    const refusal = decided?.refusal ?? this.#writesBack(statements, portal);
    const binds =
      portal === null || statements.length === 0 ? null : bindsOf(portal, statements, this.start.judge.redact);
    prepared.recorded = true;
    if (refusal !== null) {
      this.recorder.refused('execute', statements, binds, refusal);
      this.#refuseExtended(refusal);
      return true;
    }
    const grant = decided?.grant ?? null;
    const execution =
      statements.length === 0 ? null : this.recorder.attempted('execute', statements, binds, grant?.request ?? null);
    if (execution !== null) this.#maskExecute(execution, portal, bytes, start, nameEnd);
    this.toUpstream.add(bytes, start, end);
    if (decided?.meter != null) this.metering.attach(execution!, decided.meter);
    this.#noteSent(judgement, statements);
    this.#pipeline.sentExecute(execution);
    if (grant?.rows != null && whyUnguarded(statements) === null) {
      this.toUpstream.addMessage(FLUSH);
      this.#guard = {
        execution: execution!,
        request: grant.request,
        rows: grant.rows,
        isQuery: false,
        isUndone: false,
      };
    }
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
    this.keepForAgain(bytes, start, end);
    this.answers.addMessage(READY_IDLE);
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
    return this.judgeText(text, this.#reading.lexing(this.#pipeline.ended));
  }

  #opaque(text: string, reason: string): Judgement {
    return this.start.judge.judgeFacts(text, opaqueText(text.length, reason), null);
  }

  /**
   * Finds out what names mean after statements that may have changed it.
   * @returns false if that has to be waited for; true inside a pipeline segment, too, where names stay unknown instead
   */
  #awaitNames(): boolean {
    if (this.#claims.isUnsure && !this.#pipeline.isSegmentOpen && !this.#pipeline.hasFailed) {
      if (!this.#pipeline.owesAnswers) this.#ask('claims', this.#claims.question());
      return this.waitForServer();
    }
    const { names } = this;
    if (!names.matter || !(names.isPathUnsure || names.schemaChanged)) return true;
    if (this.#pipeline.isSegmentOpen || this.#pipeline.hasFailed) return true;
    if (this.#pipeline.owesAnswers) return this.waitForServer();
    if (names.schemaChanged && !this.#pipeline.isInTransaction) return this.waitFor(names.refresh());
    if (!names.isPathUnsure) return true;
    this.#ask('path', ASK_SEARCH_PATH);
    return this.waitForServer();
  }

  #ask(what: 'path' | 'claims', question: Buffer): void {
    this.toUpstream.addMessage(question);
    this.#pipeline.sentOwn();
    this.#asked = what;
    this.#askedRows = [];
  }

  #preparedNamed(name: string): Prepared | null {
    return isAscii(name) ? this.#pipeline.prepared.get(name) : null;
  }

  /** Something the server may know by a name that Sluice has not seen defined. */
  #unknown(what: string): Prepared {
    return { judgement: this.#opaque('', `unknown ${what}`), types: '', recorded: true, description: null };
  }

  /** True while a statement is in flight, or a name undecided, that a statement with names depends on. */
  #namesUnsettled(): boolean {
    return this.#pipeline.namesInFlight > 0 || this.#pipeline.owesAnswers;
  }

  #withNames(judgement: Judgement): readonly JudgedStatement[] {
    if (!judgement.usesNames) return judgement.statements;
    return judgeWithNames(
      judgement,
      this.start.judge,
      this.names.current,
      (name) => this.#preparedNamed(nameInText(name)),
      (name) => this.#cursorNamed(nameInText(name)),
    );
  }

  /** True if nothing is left to ask before it is sent. */
  #passes(judgement: Judgement): boolean {
    return judgement.passes && this.services.journal.failure === null;
  }

  /** Cursors share their names with the protocol's portals: of two nobody knows which one is still there. */
  #cursorNamed(name: string): NamedStatement | null {
    if (!isAscii(name)) return null;
    const declared = this.#pipeline.cursors.get(name)?.judgement ?? null;
    const bound = this.#pipeline.portals.get(name);
    if (declared === null) return bound && { judgement: bound.prepared.judgement, names: this.names.of(bound.path) };
    if (bound !== null) return null;
    const path = declared.reading?.names.searchPath;
    return path === undefined ? { judgement: declared } : { judgement: declared, names: this.names.of(path) };
  }

  /** The statements of a text as they are judged at this execution of it. @param portal holds its bind values */
  #atMoment(
    judgement: Judgement,
    portal: Portal | null,
    estimate: Estimate | null,
    statements = this.#withNames(judgement),
  ): readonly JudgedStatement[] {
    if (statements.every(isStable)) return statements;
    const moment = momentOf(
      this.start,
      judgement,
      {
        binds: portal === null ? [] : bindsAsText(portal.bytes, portal.start, portal.end),
        inTransaction: this.#pipeline.isInTransaction,
        settings: this.#reading.settings,
        claimed: null,
      },
      estimate,
    );
    return statements.map((statement) => this.start.judge.atMoment(statement, moment));
  }

  /**
   * What is done about statements that do not just pass; `'wait'` if people are asked.
   * @param wantsAllRows false if the client will ask for the rest of the rows later
   */
  #decide(judgement: Judgement, portal: Portal | null, wantsAllRows: boolean): Decided | 'wait' {
    const named = this.#withNames(judgement);
    const estimate =
      portal?.estimate ??
      this.estimateOf(judgement, named, portal === null ? null : typedBinds(portal), () =>
        this.#toBePlanned(judgement, named, portal),
      );
    if (estimate === 'wait') return 'wait';
    if (portal !== null) portal.estimate = estimate;
    const statements = this.#atMoment(judgement, portal, estimate, named);
    if (portal !== null && portal.grant !== null && statements.some(isHeld)) {
      // More of its rows: the statement itself does not run again.
      const refusal = this.#refusalOf(statements, isDenied);
      if (refusal !== null) return { statements, refusal, meter: null, grant: null };
      return this.decideGranted(statements, portal.grant);
    }
    const decided = this.decide(statements, this.#writesBack(statements, portal), (held) => {
      // What returns no rows runs to its end, however many are asked for: drivers ask for one of what they want none of.
      const mayStop = !wantsAllRows && returnsRows(statements) && whyUnguarded(statements) === null;
      const why = mayStop ? 'rows in parts' : this.#whyNotHeld(judgement, statements, portal);
      return why ?? this.#questionAbout(judgement, statements, held, portal);
    });
    if (decided !== 'wait' && decided.grant !== null && portal !== null) {
      portal.grant = { ...decided.grant, rows: null };
      this.#grantedPortals.push(portal);
    }
    return decided;
  }

  /** Why nobody can be asked now: what they would approve could be something else for the server. */
  #whyNotHeld(judgement: Judgement, statements: readonly JudgedStatement[], portal: Portal | null): Unholdable | null {
    if (this.#pipeline.hasFailed) return 'failed transaction';
    if (this.names.isPathUnsure) return 'names changed';
    if (portal !== null && portal.role !== this.#role) return 'other role';
    if (hasLooseNames(statements, this.#namesOf(judgement))) return 'temporary tables';
    for (const text of [judgement.text, ...this.#named(statements)]) {
      if (dependsOnSession(wordsOf(text))) return 'session only';
    }
    return null;
  }

  #namesOf({ reading }: Judgement): NameContext {
    return reading?.names ?? this.names.current;
  }

  /** Texts that statements run by name. */
  #named(statements: readonly JudgedStatement[]): string[] {
    return statements.flatMap(({ facts }) => [
      ...facts.executes.map((name) => this.#preparedNamed(nameInText(name))?.judgement.text ?? ''),
      ...(facts.fetches === undefined ? [] : [this.#cursorNamed(nameInText(facts.fetches))?.judgement.text ?? '']),
    ]);
  }

  #questionAbout(
    judgement: Judgement,
    statements: readonly JudgedStatement[],
    held: JudgedStatement,
    portal: Portal | null,
  ): Question {
    return questionAbout(this.start, judgement, statements, held, {
      named: this.#named(statements),
      names: this.#namesOf(judgement),
      settings: this.changedSettings,
      database: this.start.connection.upstream.database,
      role: this.#role,
      reading: JSON.stringify([
        this.#reading.lexing(this.#pipeline.ended),
        ...READS_VALUES.map((name) => this.#reading.settings.get(name)),
      ]),
      binds: portal === null ? null : typedBinds(portal),
      claimed: null,
      inTransaction: this.#pipeline.isInTransaction,
      preview: this.#previewOf(judgement, statements, portal),
      unguarded: whyUnguarded(statements, this.#namesOf(judgement)),
    });
  }

  #previewOf(judgement: Judgement, statements: readonly JudgedStatement[], portal: Portal | null): Preview {
    const values = portal === null ? [] : bindsWritten(portal);
    const isRead = judgement.reading !== null && this.#reading.lexing(this.#pipeline.ended).standardConformingStrings;
    const text = isRead && values !== null ? withValues(judgement.text, values) : null;
    return previewOf('postgres', statements, text, text === null ? null : wordsOf(text), {
      sqlMode: '',
      settings: this.#datesAndTimes(),
    });
  }

  /** As the session reads them, and written in the one form in which they are masked. */
  #datesAndTimes(): Record<string, string> {
    const { settings } = this.#reading;
    const order = /[DMY]{3}$/.exec(settings.get('DateStyle') ?? '')?.[0];
    const others = ['IntervalStyle', 'TimeZone'].flatMap((name) => {
      const value = settings.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    return { DateStyle: order === undefined ? 'ISO' : `ISO, ${order}`, ...Object.fromEntries(others) };
  }

  #toBePlanned(
    judgement: Judgement,
    statements: readonly JudgedStatement[],
    portal: Portal | null,
  ): EstimateQuestion | null {
    const { statement } = this.#previewOf(judgement, statements, portal);
    const { searchPath } = this.names.current;
    return statement === null ? null : { statement, role: this.#role, searchPath, database: '', sqlMode: '' };
  }

  /** Why these statements may not run, or `null`. */
  #refusalOf(statements: readonly JudgedStatement[], counts = isRefused): Refusal | null {
    return refusalOf(statements, this.services.journal.failure, counts);
  }

  #noteSent(judgement: Judgement, statements: readonly JudgedStatement[]): void {
    if (judgement.changesLexing) this.#reading.unsureUntil = this.#pipeline.segment;
    if (judgement.changesPortals) this.#pipeline.portals.forgetAllBut('');
    if (this.names.matter) for (const { facts } of statements) this.#noteNames(facts);
  }

  #noteNames(facts: StatementFacts): void {
    const changes = mayChangeSearchPath(facts);
    // The end of a transaction, or of a part of it, takes back what was done to the path in it.
    const endsChange = this.#pathTouched && facts.effects.some(({ effect }) => effect === 'transaction');
    if (changes || endsChange) this.names.pathMayHaveChanged();
    if (changes) this.#pathTouched = true;
    if (mayChangeSchema(facts)) this.names.schemaChanged = true;
    this.noteSettings(facts);
  }

  // --- Questions to Sluice -----------------------------------------------------------------------------------------

  /** A Query that asks something of Sluice itself: the server is sent one that returns the answer. */
  #ownQuery(judgement: Judgement, bytes: Buffer, start: number, end: number): boolean {
    const answer = this.#answerTo(judgement, null);
    if (answer === null) return false;
    this.keepForAgain(bytes, start, end);
    const { statements, asks } = judgement;
    if (!isAnswered(answer)) {
      this.recorder.refused('query', statements, null, answer);
      this.#refuseSimple(answer);
      return true;
    }
    const execution = this.recorder.attempted('query', statements, null);
    this.#maskResults(execution, ResultMasking.of(statements, null, this.toClient));
    this.toUpstream.addMessage(ownQuery(asks!.question!.asks, answer, this.#serverEncoding));
    this.#pipeline.sentQuery(execution);
    return true;
  }

  /** The Bind of such a statement: the answer is looked up for each. @returns false while it is */
  #ownBind(portal: Portal): boolean {
    const { prepared, bytes, start, end } = portal;
    const answer = this.#answerTo(prepared.judgement, portal);
    if (answer === null) return false;
    this.markOnce();
    this.keepForAgain(bytes, start, end);
    const { statements, asks } = prepared.judgement;
    if (isAnswered(answer)) {
      const body = bytes.subarray(start + 5, end);
      this.toUpstream.addMessage(ownBind(asks!.question!.asks, body, answer, this.#serverEncoding));
      return true;
    }
    this.recorder.refused('execute', statements, null, answer);
    this.#refuseExtended(answer);
    return true;
  }

  #answerTo(judgement: Judgement, portal: Portal | null): ReturnType<typeof this.ownAnswer> {
    const binds = portal === null ? null : bindsAsJson(portal.bytes, portal.at, portal.end);
    return this.ownAnswer(judgement, binds, async (from) => {
      const reading = { lexing: this.#reading.lexing(this.#pipeline.ended), names: this.names.current };
      const asked = await this.start.judge.judge(judgement.text.slice(from), reading);
      const named = this.#withNames(asked);
      const estimate = await this.askEstimate(named, this.#toBePlanned(asked, named, portal));
      const statements = this.#atMoment(asked, portal, estimate, named);
      return verdictRows(statements, this.#writesBack(statements, portal));
    });
  }

  /** Of the parameters of a text that a question is about; none where that takes a while to tell. */
  #parameterTypes(text: string): (number | null)[] {
    const names = this.names.current;
    const asked = this.start.judge.judge(text, { lexing: this.#reading.lexing(this.#pipeline.ended), names });
    if (asked instanceof Promise) return [];
    return parameterTypes(asked.statements[0]?.facts.given?.parameters ?? [], names.catalogue);
  }

  get #serverEncoding(): string {
    return this.#reading.settings.get('server_encoding') ?? '';
  }

  // --- Refusing --------------------------------------------------------------------------------------------------

  /**
   * Refuses a simple Query. In a transaction, or with answers outstanding, the server itself is made to fail in its
   * place, so that the transaction's state is the server's own doing.
   */
  #refuseSimple(refusal: Refusal): void {
    if (this.#pipeline.isIdle) {
      this.answers.addMessage(refusalResponse(refusal));
      this.answers.addMessage(READY_IDLE);
      return;
    }
    this.toUpstream.addMessage(encodeQuery(`sluice_refused_this by ${refusal.by}`));
    this.#pipeline.sentRefusedQuery(refusal);
  }

  /** Refuses a message of the extended protocol: everything up to the next Sync is skipped, as the server would. */
  #refuseExtended(refusal: Refusal): void {
    if (this.#pipeline.isIdle) {
      this.answers.addMessage(refusalResponse(refusal));
      this.#pipeline.skip = SKIP.thenAnswer;
      return;
    }
    this.toUpstream.addMessage(failingExecute(refusal));
    this.#pipeline.sentRefusedExecute(refusal);
  }

  // --- Guarding a number of rows -----------------------------------------------------------------------------------

  /**
   * Sends the text of a Query in the extended protocol, where the work is not committed before its Sync: so that what
   * changes too many rows can still be undone, with or without a transaction of the client's. A Query as well leaves
   * nothing behind of what was unnamed before it.
   *
   * @param text with the NUL at its end
   */
  #sendGuarded(text: Buffer, execution: Execution): void {
    const isDescribed = returnsRows(execution.statements);
    const describe = isDescribed ? [DESCRIBE_UNNAMED] : [];
    this.toUpstream.addMessage(Buffer.concat([unnamedParse(text), BIND_UNNAMED, ...describe, EXECUTE_UNNAMED, FLUSH]));
    this.#pipeline.prepared.set('', null);
    this.#pipeline.portals.set('', null);
    this.#pipeline.sentHidden(execution);
    this.#pipeline.sentHidden(execution);
    if (isDescribed) this.#pipeline.sentDescribe(null);
    this.#pipeline.sentGuardedQuery(execution);
  }

  /** The guard of what completes now; `null` if that is something sent before it. */
  #guardOf(running: Execution | null): Guard | null {
    return this.#guard !== null && this.#guard.execution === running ? this.#guard : null;
  }

  /**
   * The guarded statement is complete. If it has changed too much, or its result is over a budget, the server itself is made to
   * fail in its place: so it undoes the work, and the state of its transaction is its own doing.
   */
  #guardedCompleted(guard: Guard, completion: Buffer): void {
    const { execution, request, rows, isQuery } = guard;
    const changed = Number(this.#lastTag.slice(this.#lastTag.lastIndexOf(' ') + 1));
    if (changed > rows) {
      this.services.counters.rolledBack++;
      execution.cut ??= overApproved(request, rows, changed, execution.statements[0]!.facts.kind);
    }
    if (execution.cut !== null) {
      guard.isUndone = true;
      this.toUpstream.addMessage(failingExecute(execution.cut));
      this.toUpstream.addMessage(isQuery ? SYNC : FLUSH);
    } else {
      this.#guard = null;
      this.#pipeline.settleCommandComplete(this.#lastTag);
      if (isQuery) {
        this.#heldCompletion = Buffer.from(completion);
        this.toUpstream.addMessage(SYNC);
      } else this.toClient.addMessage(Buffer.from(completion));
    }
    this.joinTurn();
  }

  /** The server has failed: with what is guarded, or with something before it that it was sent with. */
  #guardedFailed({ execution, isQuery, isUndone }: Guard): void {
    if (!execution.isDone) return;
    this.#guard = null;
    // The Sync was sent with what made the server fail.
    if (!isQuery || isUndone) return;
    this.#pipeline.skip = SKIP.none;
    this.toUpstream.addMessage(SYNC);
    this.joinTurn();
  }

  // --- Masking ---------------------------------------------------------------------------------------------------

  /** What to note the answer to a Describe for; `null` if nothing that will be masked can depend on it. */
  #describedBy(isStatement: boolean, name: string): Described | null {
    if (!isAscii(name)) return null;
    if (isStatement) {
      const prepared = this.#pipeline.prepared.get(name);
      const { asks, statements } = prepared?.judgement ?? NOTHING_JUDGED;
      return asks !== null || statements.some(isLookedAt) ? new Described(prepared!) : null;
    }
    if (this.#pipeline.portals.isAmbiguous(name, this.#pipeline.segment)) return null;
    const portal = this.#pipeline.portals.get(name);
    // Under other rules its rows may come to be looked at: then it is described again before it runs.
    if (portal?.prepared.judgement.statements.some(isLookedAt) !== true) return null;
    portal.describedIn = this.#pipeline.segment;
    return new Described(portal);
  }

  #maskResults(execution: Execution, masking: ResultMasking | null): void {
    execution.masking = masking;
    execution.results = masking?.results ?? null;
  }

  /** Has the rows of an Execute masked; asks for their description where the client does not. */
  #maskExecute(execution: Execution, portal: Portal | null, bytes: Buffer, start: number, nameEnd: number): void {
    const masking = ResultMasking.of(execution.statements, portal, this.toClient);
    if (masking === null) return;
    this.#maskResults(execution, masking);
    if (!masking.needsDescription(this.#pipeline.segment)) return;
    const name = bytes.subarray(start + 5, nameEnd + 1);
    const describe = Buffer.allocUnsafe(6 + name.length);
    describe[0] = FRONTEND.describe;
    describe.writeInt32BE(5 + name.length, 1);
    describe[5] = PORTAL;
    name.copy(describe, 6);
    this.toUpstream.addMessage(describe);
    this.#pipeline.sentDescribe(new Described(execution));
  }

  #writesBack(statements: readonly JudgedStatement[], portal: Portal | null): Refusal | null {
    if (!writesMasked(statements)) return null;
    const binds = portal === null ? [] : bindsAsText(portal.bytes, portal.start, portal.end);
    return writesBack(this.start.judge, statements, binds);
  }

  #resultSettings(): ResultSettings {
    return resultSettings(this.#reading.settings);
  }

  /** A RowDescription: of the result that comes in, or of what rows will come. @returns true if it is not for the client */
  #rowDescription(bytes: Buffer, start: number, end: number): boolean {
    const described = this.#pipeline.described;
    if (described !== null) {
      const body = Buffer.from(bytes.subarray(start + 5, end));
      const { of } = described;
      const masking = of instanceof Execution ? maskingOf(of) : null;
      if (masking !== null) masking.description = body;
      else if (!(of instanceof Execution)) of.description = body;
      this.#pipeline.settle(EXPECT.describe);
      return of instanceof Execution;
    }
    this.#pipeline.settleIfNext(EXPECT.describe);
    const { running } = this.#pipeline;
    const masking = running === null ? null : maskingOf(running);
    if (running === null || masking === null) return false;
    if (running.cut !== null) return true;
    const description = bytes.subarray(start + 5, end);
    const mismatch = masking.described(running.done, description, this.names.current.catalogue, this.#resultSettings());
    if (mismatch !== null) this.#cutUnmasked(running, mismatch);
    return mismatch !== null;
  }

  /** The result is not what was expected: nothing of it is sent, and somebody has to know. */
  #cutUnmasked(running: Execution, why: string): void {
    this.services.log.error(
      { session: this.id, statement: running.number + running.done, why },
      'a result cannot be masked as planned: it was cut, and nothing of it sent',
    );
    this.services.counters.unmaskable++;
    // The catalogue may be older than the tables.
    this.names.schemaChanged = true;
    this.metering.cut(running, unmaskable(why, running.statements[0]!.facts.kind));
  }

  #isReadyForRows(running: Execution, masking: ResultMasking): boolean {
    if (running.cut !== null) return false;
    if (masking.isReady) return true;
    const mismatch = masking.firstRow(this.names.current.catalogue, this.#resultSettings());
    if (mismatch !== null) this.#cutUnmasked(running, mismatch);
    return mismatch === null;
  }

  /** A row, or copied one, or a piece of it, on its way through the masks. */
  #maskPiece(
    running: Execution,
    masking: ResultMasking,
    type: number,
    {
      bytes,
      start,
      end,
      opens,
      closes,
    }: { bytes: Buffer; start: number; end: number; opens: boolean; closes: boolean },
  ): void {
    if (running.cut !== null) return;
    let failure: string | null = null;
    if (opens && closes) masking.copiedRow(bytes, start, end);
    else if (type === BACKEND.dataRow) failure = masking.rowPiece(bytes, start, end, opens, closes);
    else failure = masking.copiedPiece(bytes, start, end, opens, closes);
    if (failure !== null) this.#cutUnmasked(running, failure);
  }

  // --- The end of a turn -----------------------------------------------------------------------------------------

  protected mark(): void {
    this.#pipeline.mark();
    this.#markUnsureUntil = this.#reading.unsureUntil;
  }

  protected unmark(): void {
    if (this.#grantedPortals.length > 0) this.#grantedPortals = [];
    this.#pipeline.unmark();
  }

  protected takeBack(): void {
    this.#parsed = [];
    // Copy data that is still coming began after the mark: its beginning has just been dropped.
    this.#pieceForwarded = false;
    this.#guard = null;
    for (const portal of this.#grantedPortals) portal.grant = null;
    this.#grantedPortals = [];
    this.#pipeline.takeBack();
    this.#reading.unsureUntil = this.#markUnsureUntil;
  }

  protected readAgain(messages: Buffer): boolean {
    for (let at = 0; at < messages.length; ) {
      const end = at + 1 + messages.readInt32BE(at + 1);
      if (!this.message(messages[at]!, messages, at, end)) return false;
      at = end;
    }
    return true;
  }

  beforeFlush(): void {
    const parsed = this.#parsed;
    if (parsed.length === 0) return;
    this.#parsed = [];
    for (const prepared of parsed) {
      if (prepared.recorded) continue;
      prepared.recorded = true;
      // The server plans, and may compute constants, before anything is executed: the text is recorded before it gets there.
      this.recorder.prepared(prepared.judgement.statements);
    }
  }

  // --- Server to client ------------------------------------------------------------------------------------------

  protected readUpstream(chunk: Buffer): void {
    this.#fromUpstream.push(chunk);
  }

  /**
   * A row of a result, or a part of copy data, begins. This is the place where it is decided what becomes of it: it is
   * dropped, counted against budgets, masked, or passed; and if there is nothing to do about what follows either, that passes in
   * runs, uncounted by anyone but {@link #rowsPassed}, until a message of another type comes.
   *
   * @param size of the whole message
   * @returns true if it is not for the client
   */
  #rowBegins(type: number, size: number): boolean {
    const { running } = this.#pipeline;
    if (running === null) return this.#dropToReady;
    if (this.metering.isOver(running, 1, size)) return true;
    if (type === BACKEND.dataRow) running.rows++;
    if (this.#dropToReady || running.cut !== null) return true;
    const masking = maskingOf(running);
    this.#rowMasking = null;
    if (masking !== null) {
      if (type === BACKEND.dataRow && !this.#isReadyForRows(running, masking)) return true;
      if (type === BACKEND.dataRow ? masking.rows !== null : masking.looksAtCopy) this.#rowMasking = masking;
    }
    if (running.meter === null && (this.#rowMasking === null || type === BACKEND.dataRow)) {
      this.#rowsOf = running;
      this.#fromUpstream.passing = type;
    }
    return false;
  }

  #rowsPassed(bytes: Buffer, start: number, end: number, begun: number): void {
    const running = this.#rowsOf!;
    if (this.#fromUpstream.passing === BACKEND.dataRow) running.rows += begun;
    running.bytes += end - start;
    if (this.#rowMasking === null) {
      this.toClient.add(bytes, start, end);
      return;
    }
    const failure = this.#rowMasking.run(bytes, start, end);
    if (failure === null) return;
    this.#rowsEnd();
    // The rest of a row that was cut off comes in pieces.
    this.#pieceDropped = true;
    this.#cutUnmasked(running, failure);
  }

  #rowsEnd(): void {
    this.#rowsOf = null;
    this.#fromUpstream.passing = 0;
  }

  #serverPiece(type: number, bytes: Buffer, start: number, end: number, opens: boolean, closes: boolean): void {
    if (this.#ownPieces.length > 0 || (opens && this.#pipeline.answersOwn)) {
      this.#ownPieces.push(Buffer.from(bytes.subarray(start, end)));
      if (!closes) return;
      const whole = Buffer.concat(this.#ownPieces);
      this.#ownPieces = [];
      this.#serverMessage(type, whole, 0, whole.length);
      return;
    }
    const isRow = type === BACKEND.dataRow || type === BACKEND.copyData;
    if (!isRow) this.#rowsEnd();
    if (opens) {
      this.#pieceDropped = isRow ? this.#rowBegins(type, bytes.readInt32BE(start + 1) + 1) : this.#isDropped(type);
    }
    const { running } = this.#pipeline;
    if (running !== null && isRow && running.cut === null) running.bytes += end - start;
    if (!this.#pieceDropped) {
      if (this.#rowMasking === null || !isRow) this.toClient.add(bytes, start, end);
      else if (opens && closes && type === BACKEND.dataRow) this.#rowMasking.row(bytes, start, end);
      else this.#maskPiece(running!, this.#rowMasking, type, { bytes, start, end, opens, closes });
    }
    // What needs no content is settled when it is whole.
    if (closes && !isRow) this.#completed(type);
  }

  #serverMessage(type: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#pipeline.answersOwn && this.#answerToOwn(type, bytes, start, end)) return true;
    if (type === BACKEND.dataRow || type === BACKEND.copyData) {
      this.#serverPiece(type, bytes, start, end, true, true);
      return true;
    }
    this.#rowsEnd();
    switch (type) {
      case BACKEND.rowDescription:
        if (this.#rowDescription(bytes, start, end)) return true;
        break;
      case BACKEND.copyOutResponse:
        if (this.#copyOutResponse(bytes, start, end)) return true;
        break;
      case BACKEND.notificationResponse:
        this.#notification(bytes, start, end);
        return true;
      case BACKEND.commandComplete: {
        const guard = this.#guardOf(this.#pipeline.running);
        if (guard === null && this.#completedOver()) return true;
        this.#resultCompleted();
        if (!isLatin1(bytes, start + 5, end - 1, this.#lastTag))
          this.#lastTag = bytes.toString('latin1', start + 5, end - 1);
        if (guard !== null) {
          this.#guardedCompleted(guard, bytes.subarray(start, end));
          return true;
        }
        this.#pipeline.settleCommandComplete(this.#lastTag);
        break;
      }
      case BACKEND.parseComplete:
      case BACKEND.bindComplete:
      case BACKEND.closeComplete:
        if (this.#pipeline.settleHidden()) return true;
        this.#completed(type);
        break;
      case BACKEND.readyForQuery:
        this.#dropToReady = false;
        if (this.#heldCompletion !== null) this.toClient.addMessage(this.#heldCompletion);
        this.#heldCompletion = null;
        this.toClient.add(bytes, start, end);
        this.#pipeline.settleReadyForQuery(bytes[start + 5]!);
        return true;
      case BACKEND.errorResponse:
        this.#errorResponse(bytes, start, end);
        return true;
      case BACKEND.parameterStatus:
        this.#parameterStatus(bytes.subarray(start + 5, end));
        break;
      case BACKEND.parameterDescription:
        if (this.#describesOwn()) {
          this.toClient.addMessage(withoutLastParameter(bytes.subarray(start + 5, end)));
          return true;
        }
        break;
      case BACKEND.noData: {
        const isOwn = this.#pipeline.described?.of instanceof Execution;
        this.#pipeline.settle(EXPECT.describe);
        if (isOwn || this.#pipeline.answersGuardedQuery) return true;
        break;
      }
      default:
        this.#completed(type);
    }
    if (!this.#isDropped(type)) this.toClient.add(bytes, start, end);
    return true;
  }

  /** True if what is being described is what was sent in the place of a question to Sluice. */
  #describesOwn(): boolean {
    const of = this.#pipeline.described?.of;
    return of !== undefined && 'judgement' in of && of.judgement.asks !== null;
  }

  /** The server has answered a question of our own. */
  #answered(rows: readonly Buffer[]): void {
    const { isInTransaction } = this.#pipeline;
    if (this.#asked === 'claims') {
      this.#claims.answered(rows, isInTransaction);
      return;
    }
    const { role, path } = roleAndPathOf(rows);
    this.#role = role;
    this.names.setPath(path);
    if (!isInTransaction) this.#pathTouched = false;
  }

  /** @returns false for what the server says unasked, which is for the client */
  #answerToOwn(type: number, bytes: Buffer, start: number, end: number): boolean {
    switch (type) {
      case BACKEND.dataRow:
        this.#askedRows.push(Buffer.from(bytes.subarray(start + 5, end)));
        return true;
      case BACKEND.readyForQuery:
        this.#pipeline.settleOwn(bytes[start + 5]!);
        this.#answered(this.#askedRows);
        this.#askedRows = [];
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
    if (type === BACKEND.copyDone && this.#pipeline.running?.cut != null) return true;
    return this.#dropToReady && type !== BACKEND.parameterStatus && type !== BACKEND.notificationResponse;
  }

  /**
   * The upstream completed a result that was cut before it was cancelled: the client gets the error all the same, in the
   * place of the completion, and nothing more of this Query or up to this Sync.
   */
  #completedOver(): boolean {
    const running = this.#pipeline.running;
    if (running?.cut == null || this.#dropToReady) return false;
    this.toClient.addMessage(refusalResponse(running.cut));
    this.#dropToReady = true;
    this.#pipeline.settleCut(running.cut.code);
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
      this.noteEndReason(`upstream: ${code}`);
      this.toClient.add(bytes, start, end);
      return;
    }
    const withholds = this.#pipeline.withholdsMessages;
    const refusal = this.#pipeline.settleError(code);
    this.#heldCompletion = null;
    if (this.#guard !== null) this.#guardedFailed(this.#guard);
    if (this.#dropToReady) return;
    if (refusal === null && withholds) this.toClient.addMessage(withheldError(fields));
    else if (refusal === null) this.toClient.add(bytes, start, end);
    else this.toClient.addMessage(refusalResponse(refusal));
  }

  #copyOutResponse(bytes: Buffer, start: number, end: number): boolean {
    const { running } = this.#pipeline;
    const masking = running === null ? null : maskingOf(running);
    if (running === null || masking === null) return false;
    if (running.cut !== null) return true;
    const { columnFormats } = decodeCopyOutResponse(bytes.subarray(start + 5, end));
    const { catalogue } = this.names.current;
    const mismatch = masking.copyOut(running.done, columnFormats.length, catalogue, this.#resultSettings());
    if (mismatch !== null) this.#cutUnmasked(running, mismatch);
    return mismatch !== null;
  }

  #resultCompleted(): void {
    const { running } = this.#pipeline;
    if (running !== null) maskingOf(running)?.completed();
  }

  /** What other sessions say: nobody knows where they have it from, so detectors look at it. */
  #notification(bytes: Buffer, start: number, end: number): void {
    if (this.start.judge.detects(bytes, start + 9, end)) {
      const { processId, channel } = decodeNotificationResponse(bytes.subarray(start + 5, end));
      this.toClient.addMessage(encodeNotificationResponse({ processId, channel, payload: REDACTED }));
    } else this.toClient.add(bytes, start, end);
  }

  #parameterStatus(body: Buffer): void {
    const { name, value } = decodeParameterStatus(body);
    this.#reading.report(name, value);
    if (name === 'application_name') this.start.claims.set(name, value);
    if (name === 'client_encoding' && isUnsafeEncoding(value)) {
      this.fatal('22023', `client_encoding ${value} cannot be used through Sluice.`, 'unsafe client_encoding');
    }
  }
}

/** Names a portal that does not exist, and what for. */
function failingExecute({ by }: Refusal): Buffer {
  return encodeExecute({ portal: `${NONCE} sluice refused this by ${by}`, maxRows: 0 });
}

/** A Parse of the unnamed statement. @param text with the NUL at its end, in whatever encoding */
function unnamedParse(text: Buffer): Buffer {
  const parse = Buffer.alloc(6 + text.length + 2);
  parse[0] = FRONTEND.parse;
  parse.writeInt32BE(parse.length - 1, 1);
  text.copy(parse, 6);
  return parse;
}

/** Bind values as text; `null` if one is in a binary format that is not read here. */
function bindsWritten({ bytes, start, end, prepared }: Portal): (string | null)[] | null {
  const { parameters, parameterFormats } = decodeBind(bytes.subarray(start + 5, end));
  const types = Buffer.from(prepared.types, 'latin1');
  const written: (string | null)[] = [];
  for (const [i, value] of parameters.entries()) {
    const isBinary = (parameterFormats.length === 1 ? parameterFormats[0] : parameterFormats[i]) === 1;
    // Behind their count, as Parse has them.
    const type = types.length >= 6 + 4 * i ? types.readUInt32BE(2 + 4 * i) : 0;
    if (value !== null && isBinary && !hasCodec(type)) return null;
    written.push(value === null ? null : isBinary ? textOfBinary(type, value) : value.toString('utf8'));
  }
  return written;
}

/** Bind values with the types that were declared for them. */
function typedBinds({ bytes, at, end, prepared }: Portal): string {
  // What is left out of long values counts as well.
  const long = end - at > MOST_RECORDED ? ` of ${hash('sha256', bytes.subarray(at, end))}` : '';
  return `${bindsAsJson(bytes, at, end)} as ${Buffer.from(prepared.types, 'latin1').toString('hex')}${long}`;
}

function maskingOf({ masking }: Execution): ResultMasking | null {
  return masking instanceof ResultMasking ? masking : null;
}

function looksAtValues({ verdict: { masks }, hidesValues }: JudgedStatement): boolean {
  if (hidesValues) return true;
  return masks !== null && (masks.touchesMasked || masks.detects);
}

/** The values of an execution for its record; those that may be masked ones, or in which a detector finds something, are left out. */
function bindsOf({ bytes, at, start, end }: Portal, statements: readonly JudgedStatement[], redact: Redaction): string {
  if (redact === 'all-literals') return bindsAsJson(bytes, at, end, () => true);
  if (redact === 'none' || !statements.some(looksAtValues)) return bindsAsJson(bytes, at, end);
  if (statements.some(({ hidesValues }) => hidesValues)) return bindsAsJson(bytes, at, end, () => true);
  const only = statements.length === 1 ? (statements[0]!.verdict.masks ?? null) : null;
  if (only !== null && !only.detects)
    return bindsAsJson(bytes, at, end, (parameter) => !only.showsParameter(parameter));
  const masks = statements.flatMap(({ verdict }) => verdict.masks ?? []);
  const values = masks.some((one) => one.detects) ? bindsAsText(bytes, start, end) : [];
  return bindsAsJson(bytes, at, end, (parameter) =>
    masks.some((one) => (one.touchesMasked && !one.showsParameter(parameter)) || one.finds(values[parameter] ?? null)),
  );
}
