import type { Socket } from 'node:net';
import { type Capabilities, CLIENT, MARIADB_CLIENT, SERVER_STATUS } from '../../../protocols/mysql/capabilities.ts';
import { COM, decodeComFieldList, LAST_PREPARED } from '../../../protocols/mysql/commands.ts';
import {
  encodePackets,
  FULL_PACKET,
  PacketFramer,
  type PacketSink,
  packetsOf,
} from '../../../protocols/mysql/framing.ts';
import {
  type ComStmtExecute,
  decodeComQuery,
  decodeComStmtBulkExecute,
  decodeComStmtExecute,
  EXECUTE_FLAG,
  encodeComStmtBulkExecute,
  encodeComStmtExecute,
  type ParameterType,
} from '../../../protocols/mysql/parameters.ts';
import {
  decodeErr,
  decodeLocalInfile,
  decodeOk,
  type Err,
  encodeOk,
  RESPONSE,
} from '../../../protocols/mysql/responses.ts';
import { decodeSessionState } from '../../../protocols/mysql/session-state.ts';
import { ProtocolViolation } from '../../../protocols/mysql/violation.ts';
import type { Granted } from '../../approvals/approvals.ts';
import type { Preview, Question } from '../../approvals/request.ts';
import type { Estimate, EstimateQuestion } from '../../catalog/estimates.ts';
import type { Redaction } from '../../config/redaction.ts';
import type { SessionPins } from '../../policy/session-rules.ts';
import { type NameChange, opaqueText, type StatementFacts } from '../../statements/facts.ts';
import type { MysqlServer } from '../../statements/mysql/server.ts';
import { withValues, wordsOf } from '../../statements/mysql/words.ts';
import { OWN_COLUMNS, type OwnStatement } from '../../statements/own-statement.ts';
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
import { dependsOnSession } from '../meaning.ts';
import { momentOf } from '../moment.ts';
import { judgeWithNames } from '../names-in-text.ts';
import { type OwnRow, verdictRows } from '../own-answers.ts';
import { previewOf } from '../preview.ts';
import { questionAbout } from '../question.ts';
import {
  notAlone,
  overApproved,
  type Refusal,
  refusalOf,
  type Unholdable,
  unmaskable,
  unsupportedCommand,
  withheldMessages,
} from '../refusal.ts';
import { RowTooLarge } from '../rewrite-buffer.ts';
import { mayChangeSchema } from '../schema-changes.ts';
import type { SessionServices } from '../services.ts';
import { type Decided, isAnswered, Session } from '../session.ts';
import type { SessionStart } from '../session-start.ts';
import type { Execution, Via } from '../statement-recorder.ts';
import { writesBack, writesMasked } from '../written-masks.ts';
import { type Binds, bindsOf, bulkBindsOf, NO_BINDS, togetherOf, withAttributes, withoutValues } from './binds.ts';
import {
  asksAboutTheLast,
  asksForDiagnostics,
  asksForWithheld,
  diagnosticsQuestion,
  encodeDiagnostics,
} from './diagnostics.ts';
import { errorFor, errorPacket, inMysql, mayQuoteValues, unknownStatement, withheldError } from './errors.ts';
import type { RowStream } from './masked-rows.ts';
import { ANSWER, type Answer, PART, type Part, Response } from './response.ts';
import { type Definitions, mayBeNull, type ResultContext, ResultMasking, renumbered } from './result-masking.ts';
import { type AnswerContext, encodePrepared, encodeResultSet, type OwnColumn } from './result-sets.ts';
import { ASK_STATE, ownQuery, quoteName, type SessionState, setupOf, stateOf, textsOf } from './session-setup.ts';
import { REPORTED, TextReading } from './text-reading.ts';

/** What a session of MySQL begins with besides what every session does. */
export interface MysqlStart {
  /** What client and Sluice agreed on; the upstream has the same, and more only where the session takes it out again. */
  readonly capabilities: Capabilities;
  readonly upstreamCapabilities: Capabilities;
  readonly server: MysqlServer;
  readonly pins: SessionPins;
  /** As the upstream said when it was asked. */
  readonly state: SessionState;
  /** Longest command a client may send, bytes. */
  readonly messageBytes: number;
  /** Kills a session of the same identity, or what it runs, by the id its client knows. */
  readonly kill: (id: number, what: 'query' | 'connection') => Promise<boolean>;
  /** The client authenticates anew, by a COM_CHANGE_USER whose payload this is. */
  readonly changeUser: (payload: Buffer, sequence: number) => void;
}

/** Settings that decide how text is read, and which value a literal is. */
const READS_VALUES = ['sql_mode', 'time_zone', 'character_set_client', 'character_set_connection'];

/** A statement the server has ready under an id. */
interface Prepared {
  judgement: Judgement;
  /** The default database when it was prepared: that is where its names are looked for. */
  readonly path: readonly string[];
  parameters: number;
  /** Types the client sent last, and those the server has: they differ after an execution that was refused. */
  types: readonly ParameterType[] | null;
  serverTypes: readonly ParameterType[] | null;
  /** What COM_STMT_SEND_LONG_DATA has brought since the last execution. */
  longData: Map<number, LongData> | null;
  /** What the execution whose cursor is open was given. */
  cursor: Binds;
  /** And the approval by which it runs, and what the server expects of it. */
  grant: Granted | null;
  estimate: Estimate | null;
  /** The definitions of its columns, where they may be needed without coming again: for cursors, and if they are not sent twice. */
  definitions: Definitions | null;
}

/** A value that comes in pieces, of which the first are kept. */
interface LongData {
  readonly pieces: Buffer[];
  bytes: number;
}

/** A command of our own, between two of the client's. */
interface OwnCommand {
  readonly payload: Buffer;
  readonly answer: Answer;
  /** Takes the rows of its result; what it throws ends the session, as an error does. */
  readonly done: ((rows: readonly Buffer[]) => void) | null;
  /** Takes its error; without it, an error ends the session. */
  readonly failed?: (error: Err) => void;
  /** It is sent for a guarded statement, whether its client is still there or not; all others wait for a next command. */
  readonly ofGuard?: true;
}

/** A statement that may change so many rows and no more, in something that can be undone. */
interface Guard {
  readonly request: number;
  readonly rows: number;
  /** True if a transaction was begun for it alone; else it is behind a savepoint. */
  readonly ownTransaction: boolean;
}

/** Ids of prepared questions to Sluice: servers count theirs from 1. */
const FIRST_OWN_STATEMENT = 0x7000_0000;
/** Claims whose values are asked for at a time. */
const MOST_CLAIMS = 50;

/** No name of a client's: it would have to quote it. */
const SAVEPOINT = '`sluice guard`';
/** What is sent to keep what a guarded statement did, and to undo it. */
const KEEP = { ownTransaction: 'COMMIT AND NO CHAIN NO RELEASE', savepoint: `RELEASE SAVEPOINT ${SAVEPOINT}` } as const;
const UNDO = {
  ownTransaction: 'ROLLBACK AND NO CHAIN NO RELEASE',
  savepoint: `ROLLBACK TO SAVEPOINT ${SAVEPOINT}`,
} as const;

/** Bytes of long values that rules and records can see: of one, and of all that a session has not executed yet. */
const MOST_LONG_DATA = 1024 * 1024;
const MOST_LONG_DATA_KEPT = 16 * 1024 * 1024;
/** The server may answer with payloads of this size; rows may be larger. */
const LARGEST_ANSWER = 64 * 1024 * 1024;
/** Bytes before the text of a COM_QUERY that could have attributes and has none. */
const BARE_TEXT = 3;
const EVERY_BYTE = new Uint8Array(256).fill(1);

/**
 * A session in MySQL's protocol: what each command means for what is judged, staged and settled.
 *
 * One command is with the server at a time. A client may send the next before the answer has come, but it waits here: so
 * what the server reads it with is known, and so is which statement an id or a name means. See docs/data-path.md.
 */
export class MysqlSession extends Session implements PacketSink {
  readonly #own: MysqlStart;
  readonly #reading = new TextReading();
  readonly #fromClient: PacketFramer;
  readonly #fromUpstream: PacketFramer;
  readonly #response: Response;
  /** True if the upstream reports changes of its state that the client did not ask for. */
  readonly #stripsState: boolean;
  /** Prepared statements by their id, and those that SQL text prepares by their name. */
  readonly #prepared = new Map<number, Prepared>();
  readonly #named = new Map<string, { readonly judgement: Judgement; readonly path: readonly string[] }>();
  #lastPrepared: Prepared | null = null;
  #longDataKept = 0;

  // Of the command that the server has in hand:
  #command = -1;
  #running: Execution | null = null;
  /** The prepared statement it is about. */
  #about: Prepared | null = null;
  /** Its rows are counted one by one, against a budget. */
  #isMetered = false;
  /** The row that comes in parts is not for the client; and how many of its bytes were charged ahead. */
  #rowDropped = false;
  #rowCharged = 0;
  /** Number of the first packet that the client was not sent: after our own error in its place, nothing more is for it. */
  #droppedFrom = -1;
  /** How its results are masked; `null` if they are not looked at. */
  #masking: ResultMasking | null = null;
  /** Definitions that have come of the answer to a COM_STMT_PREPARE. */
  #preparedDefinitions = 0;
  /** True while the client sends the file that the server asked for. */
  #sendsFile = false;

  /** Commands of our own that come before the client's next. */
  readonly #ownCommands: OwnCommand[] = [];
  /** The one the server has in hand, and the rows of its answer. */
  #ownCommand: OwnCommand | null = null;
  #ownRows: Buffer[] = [];
  /** The roles whose rights it has besides its own, when that was last asked; `null` for none. */
  #role: string | null = null;
  /** True if a statement may have changed how text is read, or the role, without the server saying so. */
  #isUnsure = false;
  /** True if a statement may have changed what the server reports of its state: then changes are asked for. */
  #reportsLost = false;
  /** The last statement was refused: that is what SHOW WARNINGS is about. */
  #refused: (Refusal & { readonly errno: number }) | null = null;
  /** What the server has to say about the last statement may quote masked values. */
  #withholds = false;
  /** What has become of the kill that is the command in hand. */
  #killed: 'waits' | 'done' | 'not own' | null = null;
  /** The number of rows that what runs, or is about to run, may change; `null` where there is no such limit. */
  #guard: Guard | null = null;
  #markedStatements = 0;
  /** Questions to Sluice that were made ready; and claims whose values the server has to be asked for. */
  #ownStatements = 0;
  readonly #unsureClaims = new Set<string>();
  readonly #claimed = new Set<string>();

  constructor(services: SessionServices, client: Socket, upstream: Socket, start: SessionStart, own: MysqlStart) {
    super(services, client, upstream, start, pathOf(own.state.database));
    this.#own = own;
    this.#stripsState = (own.upstreamCapabilities.client & ~own.capabilities.client & CLIENT.sessionTrack) !== 0;
    this.#response = new Response(own.capabilities);
    this.#fromClient = new PacketFramer(this, own.messageBytes);
    this.#fromClient.renumbers = (own.capabilities.client & (CLIENT.compress | CLIENT.zstdCompressionAlgorithm)) !== 0;
    this.#fromUpstream = new PacketFramer(
      {
        payload: (sequence, bytes, from, to) => this.#serverPayload(sequence, bytes, from, to),
        piece: () => undefined,
        rows: (bytes, from, to, begun) => this.#serverRows(bytes, from, to, begun),
      },
      LARGEST_ANSWER,
    );
    this.#fromUpstream.sequence = -1;
    this.#reportsLost = !this.#reports;
    this.#takeState(own.state);
  }

  /** True if the server says what changes in how text is read. */
  get #reports(): boolean {
    return (this.#own.upstreamCapabilities.client & CLIENT.sessionTrack) !== 0;
  }

  protected get isIdle(): boolean {
    return this.#response.isOver && !this.#response.isInTransaction;
  }

  get owesAnswers(): boolean {
    return !this.#response.isOver;
  }

  protected get isGuarding(): boolean {
    return (
      this.#guard !== null || this.#ownCommand !== null || this.#ownCommands.some(({ ofGuard }) => ofGuard === true)
    );
  }

  protected get upstreamAtBoundary(): boolean {
    return this.#fromUpstream.atBoundary;
  }

  protected get farewell(): Buffer {
    return encodePackets(Buffer.of(COM.quit), 0);
  }

  protected isViolation(error: unknown): error is Error {
    return error instanceof ProtocolViolation;
  }

  protected encodeWaiting(): null {
    return null;
  }

  /** ER_CLIENT_INTERACTION_TIMEOUT: what a client finds instead of an answer when the server has ended the connection. */
  protected get identityEnded(): string {
    return '57P05';
  }

  protected encodeFatal(code: string, message: string): Buffer {
    // While an answer comes it is the next packet of it.
    let { sequence } = this.#command < 0 ? this.#fromClient : this.#fromUpstream;
    // The client has sent a command that waits for one of ours.
    if (this.#ownCommand !== null || sequence < 0) sequence = 1;
    return errorPacket(errorFor(code, message), sequence);
  }

  protected settleLost(): void {
    this.#abandon('lost');
  }

  override setNames(...names: Parameters<Session['setNames']>): void {
    super.setNames(...names);
    // Which database is the default is always known.
    this.names.setPath(pathOf(this.#reading.database));
  }

  // --- Client to server ------------------------------------------------------------------------------------------

  protected readClient(chunk: Buffer, from: number): number {
    return this.#fromClient.push(chunk, from);
  }

  payload(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.isClosed) return true;
    if (this.#sendsFile) {
      this.#filePart(bytes, start - 4, end);
      if (start === end) this.#fileEnds();
      return true;
    }
    if (start === end) throw new ProtocolViolation('a command without a byte');
    const command = bytes[start]!;
    if (command !== COM.quit && !this.#isFree()) return this.waitForServer();
    if (!this.#take(command, sequence, bytes, start, end)) return false;
    this.#fromClient.sequence = 0;
    return true;
  }

  /** Parts of a file that the server asked for. */
  piece(_first: number, bytes: Buffer, start: number, end: number): void {
    this.#filePart(bytes, start, end);
  }

  /** A client sends no rows. */
  rows(): void {}

  /** True if the server can be sent the client's next command. */
  #isFree(): boolean {
    if (!this.#response.isOver || this.metering.isCancelling) return false;
    const own = this.#ownCommands.shift();
    if (own === undefined) return true;
    this.#ownCommand = own;
    this.#ownRows = [];
    this.toUpstream.addMessage(encodePackets(own.payload, 0));
    this.#sent(own.answer, 0);
    return false;
  }

  #take(command: number, sequence: number, bytes: Buffer, start: number, end: number): boolean {
    switch (command) {
      case COM.query:
        return this.#query(sequence, bytes, start, end);
      case COM.stmtExecute:
      case COM.stmtBulkExecute:
        return this.#execute(command, sequence, bytes, start, end);
      case COM.stmtPrepare:
        return this.#prepare(sequence, bytes, start, end);
      case COM.stmtFetch:
        return this.#fetch(sequence, bytes, start, end);
      case COM.stmtSendLongData:
        return this.#sendLongData(sequence, bytes, start, end);
      case COM.stmtClose: {
        const id = statementIdAt(bytes, start, end);
        this.#dropLongData(this.#prepared.get(id));
        this.#prepared.delete(id);
        if (id < FIRST_OWN_STATEMENT) this.#forward(sequence, bytes, start, end);
        else this.#keep(sequence, bytes, start, end);
        return true;
      }
      case COM.stmtReset: {
        const id = statementIdAt(bytes, start, end);
        this.#dropLongData(this.#prepared.get(id));
        if (this.#prepared.get(id)?.judgement.asks != null) {
          this.#keep(sequence, bytes, start, end);
          this.#answerOk(sequence);
          return true;
        }
        return this.#plain(ANSWER.ok, sequence, bytes, start, end);
      }
      case COM.ping:
      case COM.setOption:
      case COM.resetConnection:
        return this.#plain(ANSWER.ok, sequence, bytes, start, end);
      case COM.statistics:
        return this.#plain(ANSWER.text, sequence, bytes, start, end);
      case COM.initDb: {
        const database = this.#reading.read(bytes, start + 1, end);
        const text = database === null ? null : `USE ${quoteName(database)}`;
        return this.#asStatement('COM_INIT_DB', text, ANSWER.ok, sequence, bytes, start, end);
      }
      case COM.fieldList: {
        const { table } = decodeComFieldList(bytes.subarray(start, end));
        const text = `SHOW COLUMNS FROM ${quoteName(table)}`;
        return this.#asStatement('COM_FIELD_LIST', text, ANSWER.definitions, sequence, bytes, start, end);
      }
      case COM.createDb:
      case COM.dropDb: {
        const verb = command === COM.createDb ? 'CREATE' : 'DROP';
        const database = this.#reading.read(bytes, start + 1, end);
        const text = database === null ? null : `${verb} DATABASE ${quoteName(database)}`;
        return this.#asStatement(`COM_${verb}_DB`, text, ANSWER.ok, sequence, bytes, start, end);
      }
      case COM.processInfo:
        return this.#asStatement('COM_PROCESS_INFO', 'SHOW PROCESSLIST', ANSWER.results, sequence, bytes, start, end);
      case COM.processKill: {
        if (end - start !== 5) throw new ProtocolViolation('COM_PROCESS_KILL has the wrong length');
        const id = bytes.readUInt32LE(start + 1);
        const killed = this.#kills(id, 'connection', sequence);
        if (killed !== false) return killed === true;
        return this.#asStatement('COM_PROCESS_KILL', `KILL ${id}`, ANSWER.ok, sequence, bytes, start, end);
      }
      case COM.changeUser:
        this.#changeUser(sequence, bytes, start, end);
        return true;
      case COM.quit:
        this.end('client terminated');
        return true;
      default:
        this.#refuseCommand(command, sequence, bytes, start, end);
        return true;
    }
  }

  /** A command that runs no statement. */
  #plain(answer: Answer, sequence: number, bytes: Buffer, start: number, end: number): boolean {
    this.#command = bytes[start]!;
    this.#forward(sequence, bytes, start, end);
    this.#sent(answer, sequence);
    return true;
  }

  #forward(sequence: number, bytes: Buffer, start: number, end: number): void {
    this.#keep(sequence, bytes, start, end);
    this.#add(sequence, bytes, start, end);
  }

  #add(sequence: number, bytes: Buffer, start: number, end: number): void {
    if (end - start < FULL_PACKET) this.toUpstream.add(bytes, start - 4, end);
    else this.toUpstream.addMessage(packetsOf(sequence, bytes, start, end));
  }

  #keep(sequence: number, bytes: Buffer, start: number, end: number): void {
    if (end - start < FULL_PACKET) this.keepForAgain(bytes, start - 4, end);
    else {
      const packets = packetsOf(sequence, bytes, start, end);
      this.keepForAgain(packets, 0, packets.length);
    }
  }

  /** @param sequence of the command's last packet */
  #sent(answer: Answer, sequence: number, mayOpenCursor = false): void {
    this.#response.begin(answer, mayOpenCursor);
    this.#fromUpstream.sequence = (sequence + 1) & 0xff;
    if (this.#response.isInRows) this.#passRows();
  }

  #query(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    const from = this.#textOf(bytes, start, end);
    // What asks about the statement before must find nothing of ours in between.
    const asksBack = this.#isUnsure && asksAboutTheLast(bytes.toString('latin1', from, end));
    if (!asksBack && !this.#awaitState()) return false;
    this.markOnce();
    const judgement = this.#judge(bytes, from, end);
    if (judgement === null) return false;
    if (this.#answersHere(judgement, sequence)) return true;
    if (judgement.asks !== null) return this.#answerOwn('query', judgement, NO_BINDS, sequence, bytes, start, end);
    this.#claim(judgement);
    const kill = ownKill(judgement);
    const killed = kill !== null && this.#kills(kill.id, kill.what, sequence);
    if (killed !== false) return killed === true;
    const binds =
      from <= start + BARE_TEXT
        ? NO_BINDS
        : withAttributes(NO_BINDS, decodeComQuery(bytes.subarray(start, end), this.#own.capabilities).attributes);
    return this.#run('query', judgement, binds, ANSWER.results, sequence, bytes, start, end);
  }

  /** Where the text of a COM_QUERY begins: behind its attributes, if it has any. */
  #textOf(bytes: Buffer, start: number, end: number): number {
    const { capabilities } = this.#own;
    if ((capabilities.client & CLIENT.queryAttributes) === 0) return start + 1;
    if (end - start >= BARE_TEXT && bytes[start + 1] === 0 && bytes[start + 2] === 1) return start + BARE_TEXT;
    return end - decodeComQuery(bytes.subarray(start, end), capabilities).text.length;
  }

  /** A command that does what a statement does: it is judged as that. @param text `null` if it cannot be read */
  #asStatement(
    command: string,
    text: string | null,
    answer: Answer,
    sequence: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    if (!this.#awaitState()) return false;
    this.markOnce();
    const judgement =
      text === null
        ? this.#opaque(command, 'not readable in its character set')
        : this.judgeText(text, this.#reading.modes);
    if (judgement === null) return false;
    return this.#run('command', judgement, NO_BINDS, answer, sequence, bytes, start, end);
  }

  /** Judges what a command runs, and stages it or refuses it. */
  #run(
    via: Via,
    judgement: Judgement,
    binds: Binds,
    answer: Answer,
    sequence: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    const estimate = this.#estimateOf(judgement, binds);
    if (estimate === 'wait') return false;
    const decided = this.#decide(judgement, this.#atMoment(judgement, binds, estimate), binds);
    if (decided === 'wait') return false;
    this.#keep(sequence, bytes, start, end);
    if (!this.#mayRun(via, judgement, decided, binds, sequence)) return true;
    this.#add(sequence, bytes, start, end);
    const statements = decided?.statements ?? judgement.statements;
    this.#noteSent(statements);
    this.#command = bytes[start]!;
    if (answer === ANSWER.results) this.#maskResults(ResultMasking.of(statements, this.toClient));
    this.#sent(answer, sequence);
    return true;
  }

  /**
   * Records statements that are about to run, or refuses them.
   * @returns false if they are refused: then the client has its answer
   */
  #mayRun(via: Via, judgement: Judgement, decided: Decided | null, binds: Binds, sequence: number): boolean {
    const statements = decided?.statements ?? judgement.statements;
    const refusal = decided === null ? this.#otherRefusal(statements, binds) : decided.refusal;
    if (refusal !== null) {
      this.#refuse(via, statements, binds, refusal, sequence);
      return false;
    }
    const request = decided?.grant?.request ?? null;
    this.#running =
      statements.length === 0
        ? null
        : this.recorder.attempted(
            via,
            statements,
            recordedBinds(binds, statements, this.start.judge.redact),
            request,
            binds.claimed,
          );
    const meter = decided?.meter ?? null;
    this.#isMetered = meter !== null;
    if (meter !== null) this.metering.attach(this.#running!, meter);
    return true;
  }

  /** What becomes of statements at this execution; `null` if they just pass, `'wait'` if something has to be waited for. */
  #decide(
    judgement: Judgement,
    statements: readonly JudgedStatement[],
    binds: Binds,
    unholdable: Unholdable | null = null,
  ): Decided | 'wait' | null {
    const passes = judgement.passes && this.services.journal.failure === null;
    if (passes && this.#guard === null) return null;
    const decided = passes
      ? null
      : this.decide(
          statements,
          this.#otherRefusal(statements, binds),
          (held) =>
            unholdable ??
            this.#whyNotHeld(judgement, statements, binds) ??
            this.#questionAbout(judgement, statements, held, binds),
        );
    if (this.#guard === null || (decided === 'wait' ? !this.isHeld : decided?.grant != null)) return decided;
    // What was begun for it is not needed: the rules, or what the text means, have changed since.
    this.#endGuard(UNDO, null);
    if (decided === 'wait') return decided;
    if (decided !== null && decided.refusal !== null) return decided;
    this.waitForServer();
    return 'wait';
  }

  protected override isReadyFor(grant: Granted, statements: readonly JudgedStatement[]): boolean {
    const { request, rows } = grant;
    if (rows === null || this.#guard !== null || whyUnguarded(statements) !== null) return true;
    this.#beginGuard({ request, rows });
    return this.waitForServer();
  }

  #previewOf(judgement: Judgement, statements: readonly JudgedStatement[], binds: Binds): Preview {
    const { modes, settings } = this.#reading;
    const state = { ...modes, database: null };
    const read = (text: string) => wordsOf(text, this.#own.server, state);
    const words = read(judgement.text);
    const text = words === null || binds.sets > 1 ? null : withValues(judgement.text, words, binds.values);
    const zone = settings.get('time_zone');
    return previewOf('mysql', statements, text, text === null ? null : read(text), {
      sqlMode: settings.get('sql_mode') ?? '',
      settings: zone === undefined ? {} : { time_zone: zone },
    });
  }

  /** Why nobody can be asked: what they would approve could be something else for the server. */
  #whyNotHeld(judgement: Judgement, statements: readonly JudgedStatement[], binds: Binds): Unholdable | null {
    if (!binds.isComplete) return 'long value';
    for (const text of [judgement.text, ...this.#textsNamed(statements)]) {
      const words = wordsOf(text, this.#own.server, { ...this.#reading.modes, database: null });
      if (words !== null && dependsOnSession(words)) return 'session only';
    }
    return null;
  }

  /** Texts that statements run by name. */
  #textsNamed(statements: readonly JudgedStatement[]): string[] {
    return statements.flatMap(({ facts }) => facts.executes.map((name) => this.#named.get(name)?.judgement.text ?? ''));
  }

  #questionAbout(
    judgement: Judgement,
    statements: readonly JudgedStatement[],
    held: JudgedStatement,
    binds: Binds,
  ): Question {
    const names = judgement.reading?.names ?? this.names.current;
    return questionAbout(this.start, judgement, statements, held, {
      named: this.#textsNamed(statements),
      names,
      settings: this.changedSettings,
      database: this.#reading.database ?? '',
      role: this.#role ?? '',
      reading: JSON.stringify(READS_VALUES.map((name) => this.#reading.settings.get(name))),
      binds: binds.json,
      claimed: binds.claimed,
      inTransaction: this.#response.isInTransaction,
      preview: this.#previewOf(judgement, statements, binds),
      unguarded: binds.sets > 1 ? 'it is executed with several sets of values' : whyUnguarded(statements, names),
    });
  }

  /** An error does not end a transaction, here or at the server: answering is all there is to a refusal. */
  #refuse(via: Via, statements: readonly JudgedStatement[], binds: Binds, refusal: Refusal, sequence: number): void {
    const told = inMysql(refusal);
    this.recorder.refused(
      via,
      statements,
      recordedBinds(binds, statements, this.start.judge.redact),
      told,
      binds.claimed,
    );
    this.#refused = told;
    this.answers.addMessage(errorPacket(errorFor(refusal.code, refusal.message), (sequence + 1) & 0xff));
  }

  #prepare(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitState()) return false;
    this.markOnce();
    const judgement = this.#judge(bytes, start + 1, end);
    if (judgement === null) return false;
    this.#keep(sequence, bytes, start, end);
    // Until the server has prepared this one, there is none that was prepared last.
    this.#lastPrepared = null;
    const { asks } = judgement;
    const statements = this.#withNames(judgement, this.names.current);
    const refusal =
      this.#refusalOf(statements, isRefusedAlways) ??
      (asks?.question === null ? notAlone(statements[0]!.facts.kind) : null);
    if (refusal !== null) {
      this.#refuse('parse', statements, NO_BINDS, refusal, sequence);
      return true;
    }
    // The server plans, and may compute constants, before anything is executed: the text is recorded before it gets there.
    this.recorder.prepared(statements);
    const path = pathOf(this.#reading.database);
    this.#about = {
      judgement,
      path,
      parameters: 0,
      types: null,
      serverTypes: null,
      longData: null,
      cursor: NO_BINDS,
      grant: null,
      estimate: null,
      definitions: null,
    };
    this.#preparedDefinitions = 0;
    if (asks !== null) {
      this.#prepareOwn(asks.question!.asks, judgement.text, this.#about, sequence);
      return true;
    }
    return this.#forwardAbout(ANSWER.prepared, sequence, bytes, start, end);
  }

  #forwardAbout(answer: Answer, sequence: number, bytes: Buffer, start: number, end: number): true {
    this.#add(sequence, bytes, start, end);
    this.#command = bytes[start]!;
    this.#refused = null;
    this.#sent(answer, sequence);
    return true;
  }

  #execute(command: number, sequence: number, bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitState()) return false;
    this.markOnce();
    const id = statementIdAt(bytes, start, end);
    const prepared = id === LAST_PREPARED ? this.#lastPrepared : (this.#prepared.get(id) ?? null);
    if (prepared === null && id === LAST_PREPARED) {
      // Behind a preparation that failed here the server would execute an older statement.
      this.answers.addMessage(errorPacket(unknownStatement(id), (sequence + 1) & 0xff));
      return true;
    }
    if (prepared === null) {
      const judgement = this.#opaque('', `unknown prepared statement ${id}`);
      return this.#run('execute', judgement, NO_BINDS, ANSWER.results, sequence, bytes, start, end);
    }
    const judgement = this.#judgeAgain(prepared);
    if (judgement === null) return false;
    const execution =
      command === COM.stmtExecute
        ? this.#readExecute(prepared, bytes.subarray(start, end))
        : this.#readBulk(prepared, bytes.subarray(start, end));
    const [first, second] = execution.binds;
    const estimate =
      judgement.asks === null && second === undefined ? this.#estimateOf(judgement, first ?? NO_BINDS) : null;
    if (estimate === 'wait') return false;
    const { statements, isHeldApart } = this.#atExecution(judgement, execution.binds, estimate);
    const binds = execution.binds.length === 1 ? execution.binds[0]! : togetherOf(execution.binds);
    if (judgement.asks !== null) {
      if (!this.#answerOwn('execute', judgement, binds, sequence, bytes, start, end)) return false;
      prepared.types = execution.types;
      this.#dropLongData(prepared);
      return true;
    }
    this.#claim(judgement);
    const inParts = execution.mayOpenCursor && returnsRows(statements) && whyUnguarded(statements) === null;
    const unholdable = isHeldApart ? 'held apart' : inParts ? 'rows in parts' : null;
    const decided = this.#decide(judgement, statements, binds, unholdable);
    if (decided === 'wait') return false;
    this.#keep(sequence, bytes, start, end);

    const hadLongData = prepared.longData !== null;
    prepared.types = execution.types;
    this.#dropLongData(prepared);
    if (!this.#mayRun('execute', judgement, decided, binds, sequence)) {
      // The server still has it, and would take it for the next execution's.
      if (hadLongData) this.#beforeNext({ payload: resetOf(id), answer: ANSWER.ok, done: null });
      return true;
    }
    // After an execution that was refused, the client thinks that the server knows types which it does not.
    if (!execution.typesSent && prepared.serverTypes !== prepared.types) {
      this.toUpstream.addMessage(encodePackets(execution.withTypes(), 0));
    } else this.#add(sequence, bytes, start, end);
    prepared.serverTypes = prepared.types;
    prepared.cursor = binds;
    prepared.estimate = estimate;
    prepared.grant = decided?.grant ?? null;
    this.#noteSent(decided?.statements ?? judgement.statements);
    this.#about = prepared;
    this.#command = command;
    this.#maskResults(ResultMasking.of(statements, this.toClient));
    this.#sent(ANSWER.results, sequence, execution.mayOpenCursor);
    return true;
  }

  #readExecute(prepared: Prepared, payload: Buffer): ReadExecution {
    const { capabilities } = this.#own;
    const longData = prepared.longData;
    const read: ComStmtExecute = decodeComStmtExecute(
      payload,
      {
        count: prepared.parameters,
        types: prepared.types,
        longData: longData === null ? null : new Set(longData.keys()),
      },
      capabilities,
    );
    const own = read.parameters.slice(0, prepared.parameters);
    const binds = withAttributes(bindsOf(own, longData), read.parameters.slice(prepared.parameters));
    return {
      binds: [binds],
      // Without their values, which lie in what was read.
      types: read.typesSent ? own.map(({ type, unsigned, name }) => ({ type, unsigned, name })) : prepared.types,
      typesSent: read.typesSent || own.length === 0,
      mayOpenCursor: (read.flags & ~EXECUTE_FLAG.parameterCountAvailable) !== 0,
      withTypes: () => encodeComStmtExecute({ ...read, typesSent: true }, prepared.parameters, capabilities),
    };
  }

  #readBulk(prepared: Prepared, payload: Buffer): ReadExecution {
    const read = decodeComStmtBulkExecute(payload, {
      count: prepared.parameters,
      types: prepared.types,
      longData: null,
    });
    return {
      binds: bulkBindsOf(read),
      types: read.types,
      typesSent: read.typesSent,
      mayOpenCursor: false,
      withTypes: () => encodeComStmtBulkExecute({ ...read, typesSent: true }),
    };
  }

  #fetch(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    if (!this.#awaitState()) return false;
    this.markOnce();
    const id = statementIdAt(bytes, start, end);
    const prepared = this.#prepared.get(id) ?? null;
    const judgement =
      prepared === null ? this.#opaque('', `unknown prepared statement ${id}`) : this.#judgeAgain(prepared);
    if (judgement === null) return false;
    const binds = prepared?.cursor ?? NO_BINDS;
    this.#keep(sequence, bytes, start, end);
    const statements = this.#atMoment(judgement, binds, prepared?.estimate ?? null);
    const masking = ResultMasking.of(statements, this.toClient);
    const mismatch =
      masking?.fetching(prepared?.definitions ?? null, this.#resultContext(COM.stmtFetch)).mismatch ?? null;
    const decided = this.#decideFetch(statements, prepared?.grant ?? null, mismatch);
    if (!this.#mayRun('fetch', judgement, decided, binds, sequence)) return true;
    this.#add(sequence, bytes, start, end);
    this.#noteSent(decided.statements);
    this.#command = COM.stmtFetch;
    this.#maskResults(masking);
    this.#sent(ANSWER.rows, sequence);
    return true;
  }

  /** Rows of what runs already: what people have approved of is not asked about again. */
  #decideFetch(statements: readonly JudgedStatement[], grant: Granted | null, mismatch: string | null): Decided {
    const refusal =
      this.#refusalOf(statements, grant === null ? isRefused : isDenied) ??
      this.#refusalOfWithheld(statements) ??
      (mismatch === null ? null : unmaskable(mismatch, statements[0]!.facts.kind));
    if (refusal !== null) return { statements, refusal, meter: null, grant: null };
    return grant === null
      ? { statements, ...this.metering.begin(statements), grant }
      : this.decideGranted(statements, grant);
  }

  #sendLongData(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    // Where something may have to be judged again, so that no piece counts twice.
    if (this.isMarked) return this.waitFor(new Promise<void>((resolve) => setImmediate(resolve)));
    const prepared = this.#prepared.get(statementIdAt(bytes, start, end));
    if (end - start < 7) throw new ProtocolViolation('COM_STMT_SEND_LONG_DATA is too short');
    if (prepared !== undefined) {
      const parameter = bytes.readUInt16LE(start + 5);
      prepared.longData ??= new Map();
      let long = prepared.longData.get(parameter);
      if (long === undefined) {
        long = { pieces: [], bytes: 0 };
        prepared.longData.set(parameter, long);
      }
      const size = end - start - 7;
      if (long.bytes + size <= MOST_LONG_DATA && this.#longDataKept + size <= MOST_LONG_DATA_KEPT) {
        long.pieces.push(Buffer.from(bytes.subarray(start + 7, end)));
        this.#longDataKept += size;
      }
      long.bytes += size;
    }
    if (statementIdAt(bytes, start, end) < FIRST_OWN_STATEMENT) this.#add(sequence, bytes, start, end);
    return true;
  }

  #dropLongData(prepared: Prepared | undefined): void {
    if (prepared?.longData == null) return;
    for (const { pieces } of prepared.longData.values()) {
      for (const piece of pieces) this.#longDataKept -= piece.length;
    }
    prepared.longData = null;
  }

  /** A command that Sluice passes on for nobody. */
  #refuseCommand(command: number, sequence: number, bytes: Buffer, start: number, end: number): void {
    this.markOnce();
    this.#keep(sequence, bytes, start, end);
    const name = COMMAND_NAMES.get(command) ?? `COM_${command}`;
    const { statements } = this.#opaque(name, 'a command that Sluice does not pass on');
    const refusal = this.#refusalOf([]) ?? unsupportedCommand(name);
    this.#refuse('command', statements, NO_BINDS, refusal, sequence);
  }

  #changeUser(sequence: number, bytes: Buffer, start: number, end: number): void {
    const payload = Buffer.from(bytes.subarray(start, end));
    this.#own.changeUser(payload, sequence);
  }

  /**
   * Kills what belongs to the same identity: that is its own affair, as a cancel request is, and the ids that its clients
   * know are not those of the upstream.
   * @returns true if the command is answered, or will be
   */
  #kills(id: number, what: 'query' | 'connection', sequence: number): boolean | null {
    const killed = this.#killed;
    if (killed === null) {
      this.#killed = 'waits';
      this.waitFor(
        this.#own.kill(id, what).then(
          (done) => {
            this.#killed = done ? 'done' : 'not own';
          },
          () => {
            this.#killed = 'not own';
          },
        ),
      );
      return null;
    }
    this.#killed = null;
    if (killed !== 'done') return false;
    this.#refused = null;
    this.#answerOk(sequence);
    return true;
  }

  #answerOk(sequence: number): void {
    const ok = {
      header: RESPONSE.ok,
      affectedRows: 0n,
      lastInsertId: 0n,
      status: this.#statusHere,
      warnings: 0,
      info: '',
      sessionState: null,
    };
    this.answers.addMessage(encodePackets(encodeOk(ok, this.#own.capabilities), (sequence + 1) & 0xff));
  }

  // --- Questions to Sluice -----------------------------------------------------------------------------------------

  /** Answers a question to Sluice, in its turn. @returns false while the answer is looked up */
  #answerOwn(
    via: Via,
    judgement: Judgement,
    binds: Binds,
    sequence: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    const answer = this.ownAnswer(judgement, binds.json, (from) => this.#explain(judgement.text.slice(from), binds));
    if (answer === null) return false;
    this.#keep(sequence, bytes, start, end);
    const { statements, asks } = judgement;
    if (!isAnswered(answer)) {
      this.#refuse(via, statements, binds, answer, sequence);
      return true;
    }
    const values = recordedBinds(binds, statements, this.start.judge.redact);
    const execution = this.recorder.attempted(via, statements, values, null, binds.claimed);
    execution.rows = answer.length;
    this.recorder.outcome(execution, 'ok', '');
    this.#refused = null;
    const columns = ownColumns(asks!.question!.asks);
    const rows = answer.map((row) => row.map((value, i) => (columns[i]![1] === 'datetime' ? timeText(value) : value)));
    this.answers.addMessage(encodeResultSet(columns, rows, via === 'execute', this.#answerContext(sequence)));
    return true;
  }

  async #explain(text: string, binds: Binds): Promise<readonly OwnRow[]> {
    const judgement = await this.start.judge.judge(text, { lexing: this.#reading.modes, names: this.names.current });
    const named = this.#withNames(judgement, this.names.current);
    const estimate = await this.askEstimate(named, this.#toBePlanned(judgement, named, binds));
    const statements = this.#atMoment(judgement, binds, estimate);
    return verdictRows(statements, this.#otherRefusal(statements, binds));
  }

  /** Makes a question ready under an id of our own: the server has nothing of it. */
  #prepareOwn(asks: OwnStatement['asks'], text: string, prepared: Prepared, sequence: number): void {
    const id = FIRST_OWN_STATEMENT + this.#ownStatements++;
    const words = wordsOf(text, this.#own.server, { ...this.#reading.modes, database: null });
    prepared.parameters = (words ?? []).filter(({ keyword }) => keyword === '?').length;
    this.#about = null;
    this.#prepared.set(id, prepared);
    this.#lastPrepared = prepared;
    this.#refused = null;
    const { parameters } = prepared;
    this.answers.addMessage(encodePrepared(id, parameters, ownColumns(asks), this.#answerContext(sequence)));
  }

  /** What statements claim that will be sent if nothing refuses them. */
  #claim({ statements }: Judgement): void {
    for (let i = 0; i < statements.length; i++) {
      for (const { name, value } of statements[i]!.facts.claims ?? []) {
        if (this.#claimed.size < MOST_CLAIMS) this.#claimed.add(name);
        if (value !== undefined) this.start.claims.set(name, value);
        else this.#unsureClaims.add(name);
      }
    }
  }

  #askClaims(): void {
    const names = [...this.#unsureClaims].slice(0, MOST_CLAIMS);
    this.#unsureClaims.clear();
    const values = names.map((name) => `HEX(CONVERT(@${quoteName(`sluice_${name}`)} USING utf8mb4))`);
    this.#sendOwn(
      `SELECT ${values.join(', ')}`,
      ([row]) => {
        const said = textsOf(row!, names.length);
        for (const [i, name] of names.entries()) this.start.claims.set(name, said[i] || null);
      },
      () => undefined,
    );
  }

  // --- Judging ---------------------------------------------------------------------------------------------------

  /** The judgement of a text, or `null` if it has to be waited for. */
  #judge(bytes: Buffer, from: number, to: number): Judgement | null {
    const text = this.#reading.read(bytes, from, to);
    if (text === null) return this.#opaque(bytes.toString('latin1', from, to), 'not readable in its character set');
    const judgement = this.judgeText(text, this.#reading.modes);
    if (judgement === null || !text.includes(UNREADABLE) || !judgement.statements.some(namesUnreadable))
      return judgement;
    return this.#opaque(text, 'a name that is not readable in its character set');
  }

  /**
   * The judgement of a prepared statement, under the rules and the catalogue in force now, and its own default database, or
   * `null` if it has to be waited for.
   */
  #judgeAgain(prepared: Prepared): Judgement | null {
    const { judge } = this.start;
    const again = judge.again(prepared.judgement, this.names.of(prepared.path));
    if (again instanceof Promise) {
      const done = again.then((judgement) => {
        prepared.judgement = judgement;
      });
      this.waitFor(done);
      return null;
    }
    prepared.judgement = again;
    return again;
  }

  #opaque(text: string, reason: string): Judgement {
    return this.start.judge.judgeFacts(text, opaqueText(text.length, reason), null);
  }

  /**
   * Finds out how text is read and what names mean, after statements that may have changed it.
   * @returns false if that has to be waited for
   */
  #awaitState(): boolean {
    if (this.#isUnsure) {
      this.#isUnsure = false;
      this.#ask();
      this.#isFree();
      return this.waitForServer();
    }
    if (this.#unsureClaims.size > 0) {
      this.#askClaims();
      return this.waitForServer();
    }
    const { names } = this;
    if (names.matter && names.schemaChanged && !this.#response.isInTransaction) return this.waitFor(names.refresh());
    return true;
  }

  #withNames(judgement: Judgement, names: ReturnType<typeof this.names.of>): readonly JudgedStatement[] {
    if (!judgement.usesNames) return judgement.statements;
    return judgeWithNames(judgement, this.start.judge, names, (name) => {
      const named = this.#named.get(name);
      return named === undefined ? null : { judgement: named.judgement, names: this.names.of(named.path) };
    });
  }

  #estimateOf(judgement: Judgement, binds: Binds): Estimate | null | 'wait' {
    if (judgement.passes) return null;
    const statements = this.#withNames(judgement, this.names.current);
    return this.estimateOf(judgement, statements, binds.json, () => this.#toBePlanned(judgement, statements, binds));
  }

  /** Rows are asked for by a SELECT: what only reads may not even plan an UPDATE here. */
  #toBePlanned(judgement: Judgement, statements: readonly JudgedStatement[], binds: Binds): EstimateQuestion | null {
    if (!binds.isComplete) return null;
    const { statement, counting, sqlMode } = this.#previewOf(judgement, statements, binds);
    const planned = statements[0]?.facts.kind === 'SELECT' ? statement : counting;
    const database = this.#reading.database ?? '';
    return planned === null ? null : { statement: planned, role: '', searchPath: [], database, sqlMode };
  }

  /** The statements of a text as they are judged at this execution of it. */
  #atMoment(judgement: Judgement, binds: Binds, estimate: Estimate | null): readonly JudgedStatement[] {
    if (judgement.passes) return judgement.statements;
    const statements = this.#withNames(judgement, this.names.current);
    if (statements.some(({ facts }) => facts.textParameters?.some((parameter) => binds.notText.has(parameter))))
      return this.#opaque(judgement.text, 'a number is compared with text').statements;
    if (statements.every(isStable)) return statements;
    // What depends on values that are not all known cannot be decided.
    if (!binds.isComplete) return this.#opaque(judgement.text, 'a value that is too long to be judged').statements;
    const moment = momentOf(
      this.start,
      judgement,
      {
        binds: binds.values,
        claimed: binds.claimed,
        inTransaction: this.#response.isInTransaction,
        settings: this.#reading.settings,
      },
      estimate,
    );
    return statements.map((statement) => this.start.judge.atMoment(statement, moment));
  }

  /**
   * As {@link #atMoment}, for each set of values: one that is refused is how the statements are judged, or else one that is held.
   * @returns as well whether several are held that different people are to be asked about
   */
  #atExecution(judgement: Judgement, executions: readonly Binds[], estimate: Estimate | null): AtExecution {
    let statements: readonly JudgedStatement[] = judgement.statements;
    let held: readonly JudgedStatement[] | null = null;
    let isHeldApart = false;
    if (judgement.passes) return { statements, isHeldApart };
    for (const binds of executions) {
      statements = this.#atMoment(judgement, binds, estimate);
      if (statements.some(isDenied)) return { statements, isHeldApart };
      if (statements.some(isHeld)) {
        isHeldApart ||= held !== null && approvalsOf(held) !== approvalsOf(statements);
        held ??= statements;
      }
      if (statements.every((one) => isStable(one) && one.facts.textParameters === undefined)) break;
    }
    return { statements: held ?? statements, isHeldApart };
  }

  /** Why these statements may not run, or `null`. */
  #refusalOf(statements: readonly JudgedStatement[], counts = isRefused): Refusal | null {
    return refusalOf(statements, this.services.journal.failure, counts);
  }

  /** Why statements may not run that no rule keeps from it. */
  #otherRefusal(statements: readonly JudgedStatement[], binds: Binds): Refusal | null {
    const withheld = this.#refusalOfWithheld(statements);
    if (withheld !== null || !writesMasked(statements)) return withheld;
    return writesBack(this.start.judge, statements, binds.values);
  }

  #refusalOfWithheld(statements: readonly JudgedStatement[]): Refusal | null {
    if (!this.#withholds && statements.length === 1) return null;
    return asksForWithheld(statements, this.#withholds) ? withheldMessages(statements[0]!.facts.kind) : null;
  }

  #noteSent(statements: readonly JudgedStatement[]): void {
    this.#refused = null;
    this.#withholds = false;
    for (let i = 0; i < statements.length; i++) {
      const { facts, withholdsMessages } = statements[i]!;
      this.#withholds ||= withholdsMessages;
      const mayHide = mayHideChanges(facts);
      this.#reportsLost ||= mayHide;
      this.#isUnsure ||=
        mayHide ||
        facts.effects.some(({ effect }) => effect === 'set-role') ||
        (this.#reportsLost && facts.changesLexing);
      if (this.names.matter) {
        if (mayChangeSchema(facts)) this.names.schemaChanged = true;
        this.noteSettings(facts);
      }
    }
  }

  #maskResults(masking: ResultMasking | null): void {
    this.#masking = masking;
    if (this.#running !== null) this.#running.results = masking?.results ?? null;
  }

  // --- Masking ---------------------------------------------------------------------------------------------------

  #resultContext(command: number): ResultContext {
    return {
      catalogue: this.names.current.catalogue,
      capabilities: this.#own.capabilities,
      isBinary: command !== COM.query,
      isBulk: command === COM.stmtBulkExecute,
    };
  }

  /** What describes a result is there as a whole: it is sent, or the result is cut. */
  #described(masking: ResultMasking): void {
    const running = this.#running!;
    const sequence = masking.heldSequence;
    const about = this.#about;
    const result = masking.described(running.done, about?.definitions ?? null, this.#resultContext(this.#command));
    if (result.mismatch !== null) this.#cutUnmasked(running, result.mismatch, sequence);
    else if (about !== null) about.definitions = result.described;
  }

  /** How many warnings there are shows something of the values that a statement computes with. */
  #hideWarnings(bytes: Buffer): void {
    if (this.#running!.statements.some(usesMasked)) bytes.writeUInt16LE(0, this.#response.warningsAt);
  }

  /** The result is not what was expected: nothing of it is sent, and somebody has to know. @param sequence of what is not sent */
  #cutUnmasked(running: Execution, why: string, sequence: number): void {
    this.services.log.error(
      { session: this.id, statement: running.number + running.done, why },
      'a result cannot be masked as planned: it was cut, and nothing of it sent',
    );
    this.services.counters.unmaskable++;
    // The catalogue may be older than the tables.
    this.names.schemaChanged = true;
    if (this.#droppedFrom < 0) this.#droppedFrom = sequence;
    this.metering.cut(running, unmaskable(why, running.statements[0]!.facts.kind));
  }

  #maskRows(running: Execution, rows: RowStream, bytes: Buffer, start: number, end: number): void {
    try {
      rows.push(bytes, start, end);
    } catch (error) {
      if (!(error instanceof RowTooLarge)) throw error;
      this.#cutUnmasked(running, 'a row is too large to be masked', rows.largeSequence);
    }
  }

  /** A column of a statement that is made ready. @returns true if the client is told of it otherwise than the server does */
  #preparedColumn(bytes: Buffer, start: number, end: number): Buffer | null {
    const prepared = this.#about!;
    const column = this.#preparedDefinitions++ - prepared.parameters;
    if (column < 0) return null;
    const packet = bytes.subarray(start - 4, end);
    if ((this.#own.capabilities.mariadb & MARIADB_CLIENT.cacheMetadata) !== 0) {
      prepared.definitions = Buffer.concat([prepared.definitions ?? Buffer.alloc(0), packet]);
    }
    const plan = prepared.judgement.statements[0]?.verdict.masks ?? null;
    const isMasked = plan !== null && (plan.columns === null ? plan.every : plan.columns[column]) != null;
    return isMasked ? mayBeNull(packet) : null;
  }

  // --- Guarding a number of rows -----------------------------------------------------------------------------------

  /**
   * Begins what can be undone: a savepoint where a transaction is open, or begins by itself; else a transaction. The
   * statement comes again when the server has done that.
   */
  #beginGuard({ request, rows }: { readonly request: number; readonly rows: number }): void {
    this.#guard = { request, rows, ownTransaction: false };
    const begun = (): void => {
      // Only the answer tells: an error ends a transaction, or comes behind the end of one, without saying so.
      if (this.#response.isInTransaction || (this.#response.status & SERVER_STATUS.autocommit) === 0) return;
      this.#guard = { request, rows, ownTransaction: true };
      this.#sendOwn('START TRANSACTION', null, undefined);
    };
    this.#sendOwn(`SAVEPOINT ${SAVEPOINT}`, begun, undefined);
  }

  /** @param done is called when the server has done it */
  #endGuard(how: typeof KEEP | typeof UNDO, done: (() => void) | null, failed?: (error: Err) => void): void {
    const text = this.#guard!.ownTransaction ? how.ownTransaction : how.savepoint;
    this.#guard = null;
    this.#sendOwn(text, done, failed);
  }

  #sendOwn(text: string, done: OwnCommand['done'], failed: ((error: Err) => void) | undefined): void {
    const payload = ownQuery(text, this.#own.capabilities);
    this.#beforeNext({ payload, answer: ANSWER.results, done, ofGuard: true, ...(failed !== undefined && { failed }) });
    this.#isFree();
    this.joinTurn();
  }

  /** A guarded statement has failed: it has done nothing, and what was begun for it ends, if that has not ended with it. */
  #guardedFailed(): void {
    if (this.#guard === null) return;
    this.#answered();
    this.#endGuard(UNDO, null, () => undefined);
  }

  /** The guarded statement is done: it is kept, or undone, before its client hears of it. */
  #guardedCompleted(guard: Guard, running: Execution, sequence: number, payload: Buffer): void {
    const { endedRows, affectedRows } = this.#response;
    // What returns rows returns each that it has changed.
    const changed = endedRows ? running.rows : affectedRows;
    const isOver = changed > guard.rows;
    const fields = this.#okFields();
    const answer = this.#answerAfterGuard(payload, guard);
    const clientSequence = this.#clientSequence(sequence);
    this.#masking?.completed();
    this.#answered();
    // Until it is known what has become of it.
    this.#running = running;
    const over = (): void => {
      const isUndone = this.#response.warnings === 0;
      if (isUndone) this.services.counters.rolledBack++;
      const { kind } = running.statements[0]!.facts;
      const refusal = inMysql(overApproved(guard.request, guard.rows, changed, kind, isUndone));
      this.#outcome(running, 'error', `,"errno":${refusal.errno},"sqlstate":"${refusal.code}"`);
      this.#running = null;
      this.#refused = refusal;
      this.toClient.addMessage(errorPacket(errorFor('42501', refusal.message), clientSequence));
    };
    const kept = (): void => {
      this.#outcome(running, 'ok', fields);
      this.#running = null;
      this.toClient.addMessage(encodePackets(answer, clientSequence));
    };
    const failed = (error: Err): void => {
      this.#outcome(running, 'error', errorFields(error));
      this.#running = null;
      this.toClient.addMessage(errorPacket(error, clientSequence));
    };
    if (isOver) this.#endGuard(UNDO, over);
    else this.#endGuard(KEEP, kept, failed);
  }

  /** What the server said of a guarded statement, as if it had run without what was begun for it. */
  #answerAfterGuard(payload: Buffer, { ownTransaction }: Guard): Buffer {
    const hidden = SERVER_STATUS.sessionStateChanged | (ownTransaction ? SERVER_STATUS.inTransaction : 0);
    if (payload[0] === RESPONSE.eof && payload.length < 7) {
      const eof = Buffer.from(payload);
      eof.writeUInt16LE(eof.readUInt16LE(3) & ~hidden, 3);
      return eof;
    }
    const ok = decodeOk(payload, this.#own.upstreamCapabilities);
    return encodeOk({ ...ok, status: ok.status & ~hidden, sessionState: null }, this.#own.capabilities);
  }

  // --- Commands of our own ---------------------------------------------------------------------------------------

  #beforeNext(command: OwnCommand): void {
    this.#ownCommands.push(command);
  }

  #ask(): void {
    this.#beforeNext({
      payload: ownQuery(ASK_STATE, this.#own.capabilities),
      answer: ANSWER.results,
      done: ([row]) => this.#takeState(stateOf(row!)),
    });
  }

  /** What a session begins with, once more. */
  #setUp(): void {
    const { server, upstreamCapabilities, capabilities, pins } = this.#own;
    const { before, after } = setupOf(server.flavour, upstreamCapabilities, pins);
    const tell = (text: string) =>
      this.#beforeNext({ payload: ownQuery(text, capabilities), answer: ANSWER.results, done: null });
    before.forEach(tell);
    this.#ask();
    after.forEach(tell);
  }

  #takeState(state: SessionState): void {
    this.#role = state.role;
    for (const [i, name] of REPORTED.entries()) this.#report(name, state.settings[i] ?? '');
    this.#setDatabase(state.database);
  }

  #report(name: string, value: string): void {
    if (this.#reading.report(name, value)) return;
    this.fatal('22023', `The character set ${value} cannot be used through Sluice.`, 'unsafe character set');
  }

  #setDatabase(database: string | null): void {
    this.#reading.database = database;
    this.names.setPath(pathOf(database));
  }

  #ownPart(part: Part, bytes: Buffer, start: number, end: number): void {
    const own = this.#ownCommand!;
    if (part === PART.row) this.#ownRows.push(Buffer.from(bytes.subarray(start, end)));
    else if (part === PART.completed) this.#noteState(bytes, start, end);
    else if (part === PART.error || part === PART.localInfile) {
      const { code } = decodeErr(bytes.subarray(start, end));
      if (part === PART.localInfile || own.failed === undefined) {
        throw new ProtocolViolation(`the upstream answers a question of Sluice with error ${code}`);
      }
    }
    if (!this.#response.isOver) return;
    this.#ownCommand = null;
    this.#fromUpstream.sequence = -1;
    if (part === PART.error) own.failed!(decodeErr(bytes.subarray(start, end)));
    else own.done?.(this.#ownRows);
  }

  // --- The end of a turn -----------------------------------------------------------------------------------------

  protected mark(): void {
    this.#markedStatements = this.recorder.statements;
  }

  protected unmark(): void {}

  protected takeBack(): void {
    this.recorder.statements = this.#markedStatements;
    this.#running = null;
    this.#about = null;
    this.#masking = null;
    this.#response.abandon();
    this.#fromUpstream.sequence = -1;
    if (this.#guard !== null) this.#endGuard(UNDO, null);
  }

  protected readAgain(messages: Buffer): boolean {
    const { sequence } = this.#fromClient;
    const again = new PacketFramer(this, Number.POSITIVE_INFINITY);
    again.sequence = -1;
    const read = again.push(messages);
    this.#fromClient.sequence = sequence;
    return read === messages.length && again.atBoundary;
  }

  beforeFlush(): void {}

  // --- Server to client ------------------------------------------------------------------------------------------

  protected readUpstream(chunk: Buffer): void {
    this.#fromUpstream.push(chunk);
  }

  #passRows(): void {
    if (this.#ownCommand !== null) return;
    this.#fromUpstream.passRows(this.#response.rowsEnd, this.#isMetered ? 1 : Number.POSITIVE_INFINITY);
  }

  #serverRows(bytes: Buffer, start: number, end: number, begun: number): void {
    const running = this.#running;
    const size = end - start;
    if (this.#isMetered) {
      if (begun > 0) {
        const whole = 4 + bytes.readUIntLE(start, 3);
        this.#rowCharged = whole;
        this.#rowDropped = this.#droppedFrom >= 0 || this.metering.isOver(running!, 1, whole);
        if (this.#rowDropped && this.#droppedFrom < 0) this.#droppedFrom = this.#clientSequence(bytes[start + 3]!);
        this.#passRows();
      }
      // What a row of several packets has more than its first one said.
      this.#rowCharged -= size;
      if (this.#rowCharged < 0) {
        this.metering.isOver(running!, 0, -this.#rowCharged);
        this.#rowCharged = 0;
      }
      if (this.#rowDropped) return;
    } else if (this.#droppedFrom >= 0) return;
    const rows = this.#masking?.rows ?? null;
    if (rows === null) this.toClient.add(bytes, start, end);
    else this.#maskRows(running!, rows, bytes, start, end);
    if (running === null) return;
    running.rows += begun;
    running.bytes += size;
  }

  #serverPayload(sequence: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#response.isOver) {
      this.#unasked(sequence, bytes, start, end);
      return true;
    }
    const part = this.#response.take(bytes, start, end);
    if (this.#ownCommand !== null) {
      this.#ownPart(part, bytes, start, end);
      return true;
    }
    if (this.#running !== null) this.#running.bytes += end - start + 4;
    const masking = this.#masking;
    if (masking !== null && this.#response.warningsAt >= 0) this.#hideWarnings(bytes);
    // A cursor is open: no rows come with what describes them.
    if (masking?.isHolding === true && part === PART.completed) this.#described(masking);
    switch (part) {
      case PART.completed:
        this.#completed(sequence, bytes, start, end);
        break;
      case PART.error:
        this.#failed(sequence, bytes, start, end);
        this.#guardedFailed();
        break;
      case PART.prepared:
        this.#preparedBy(bytes, start);
        this.#toClient(sequence, bytes, start, end);
        break;
      case PART.localInfile:
        this.#fileAsked(sequence, bytes, start, end);
        break;
      case PART.definition: {
        const changed = this.#command === COM.stmtPrepare ? this.#preparedColumn(bytes, start, end) : null;
        if (changed !== null) this.toClient.addMessage(changed);
        else if (masking !== null && this.#droppedFrom < 0) masking.hold(bytes, start - 4, end, true);
        else this.#toClient(sequence, bytes, start, end);
        break;
      }
      default:
        if (masking !== null && this.#droppedFrom < 0) masking.hold(bytes, start - 4, end, false);
        else this.#toClient(sequence, bytes, start, end);
    }
    if (this.#response.isInRows) {
      if (masking?.isHolding === true) this.#described(masking);
      this.#passRows();
    } else if (this.#response.isOver) this.#answered();
    return true;
  }

  #toClient(sequence: number, bytes: Buffer, start: number, end: number): void {
    if (this.#droppedFrom >= 0) return;
    const shift = this.#masking?.shift ?? 0;
    if (shift !== 0) this.toClient.addMessage(renumbered(packetsOf(sequence, bytes, start, end), shift));
    else if (end - start < FULL_PACKET) this.toClient.add(bytes, start - 4, end);
    else this.toClient.addMessage(packetsOf(sequence, bytes, start, end));
  }

  /** The number that a packet of the server has for the client. */
  #clientSequence(sequence: number): number {
    return (sequence + (this.#masking?.shift ?? 0)) & 0xff;
  }

  /** What the server says when it owes nothing: why it ends the session. */
  #unasked(sequence: number, bytes: Buffer, start: number, end: number): void {
    if (bytes[start] !== RESPONSE.err) throw new ProtocolViolation('the upstream answered what it was not asked');
    this.noteEndReason(`upstream: ${decodeErr(bytes.subarray(start, end)).code}`);
    this.#toClient(sequence, bytes, start, end);
  }

  /** A result is complete: the only one, or one of several. */
  #completed(sequence: number, bytes: Buffer, start: number, end: number): void {
    const response = this.#response;
    const running = this.#running;
    // If the session ends for it, its last word takes the place of this packet.
    this.#fromUpstream.sequence = sequence;
    this.#noteState(bytes, start, end);
    if (this.isClosed) return;
    this.#fromUpstream.sequence = (sequence + 1) & 0xff;
    if (this.#guard !== null && running !== null && running.cut === null) {
      this.#guardedCompleted(this.#guard, running, sequence, bytes.subarray(start, end));
      return;
    }
    if (running !== null) this.#settle(running);
    if (this.#command === COM.resetConnection) this.#wasReset();
    if (running?.cut != null) {
      // It was complete before the upstream was told to stop: the client gets the error all the same, in its place.
      if (this.#droppedFrom < 0) this.#droppedFrom = this.#clientSequence(sequence);
      this.#tellOver(running);
      if (this.#guard !== null) {
        this.#answered();
        this.#endGuard(UNDO, null);
      }
      return;
    }
    if (this.#droppedFrom >= 0) return;
    this.#masking?.completed();
    const stateChanged = (response.status & SERVER_STATUS.sessionStateChanged) !== 0 && end - start >= 7;
    if (!stateChanged || !this.#stripsState) {
      this.#toClient(sequence, bytes, start, end);
      return;
    }
    const ok = decodeOk(bytes.subarray(start, end), this.#own.upstreamCapabilities);
    const status = ok.status & ~SERVER_STATUS.sessionStateChanged;
    const stripped = encodeOk({ ...ok, status, sessionState: null }, this.#own.capabilities);
    this.toClient.addMessage(encodePackets(stripped, this.#clientSequence(sequence)));
  }

  /** What an OK packet says of the session's state. */
  #noteState(bytes: Buffer, start: number, end: number): void {
    const { status } = this.#response;
    if (((status & SERVER_STATUS.noBackslashEscapes) !== 0) !== this.#reading.modes.noBackslashEscapes) {
      this.#isUnsure = true;
    }
    if ((status & SERVER_STATUS.sessionStateChanged) === 0 || end - start < 7) return;
    const { sessionState } = decodeOk(bytes.subarray(start, end), this.#own.upstreamCapabilities);
    if (sessionState === null) return;
    for (const change of decodeSessionState(sessionState)) {
      if (change.kind === 'system-variable') this.#report(change.name, change.value.toString('latin1'));
      else if (change.kind === 'schema') this.#setDatabase(change.name === '' ? null : change.name);
    }
  }

  /** Which statement a result is of: a procedure has any number of them, and an OK packet at its end. */
  #settle(running: Execution): void {
    const response = this.#response;
    if (running.isDone) return;
    if (response.isOver) {
      this.#outcome(running, 'ok', this.#okFields());
      this.#abandon('skipped');
      return;
    }
    const isLast = running.done === running.statements.length - 1;
    if (isLast || (response.endedRows && mayHaveSeveralResults(running.statements[running.done]!.facts))) return;
    this.#outcome(running, 'ok', this.#okFields());
  }

  #okFields(): string {
    const { endedRows, affectedRows, warnings } = this.#response;
    return (endedRows ? '' : `,"affected":${affectedRows}`) + (warnings === 0 ? '' : `,"warnings":${warnings}`);
  }

  /** An ERR packet: it ends the answer, whatever else was to come. */
  #failed(sequence: number, bytes: Buffer, start: number, end: number): void {
    const error = decodeErr(bytes.subarray(start, end));
    const running = this.#running;
    // What described a result that does not come is not for the client: the error stands in its place.
    const own = this.#masking?.isHolding === true ? this.#masking.heldSequence : this.#clientSequence(sequence);
    if (running?.cut != null) {
      if (this.#droppedFrom < 0) this.#droppedFrom = own;
      this.#tellOver(running);
      return;
    }
    if (running !== null && !running.isDone) {
      this.#outcome(running, 'error', errorFields(error));
      this.#abandon('skipped');
    }
    if (this.#droppedFrom >= 0) return;
    if (running?.withholdsMessages && mayQuoteValues(error.code))
      this.toClient.addMessage(errorPacket(withheldError(error), own));
    else if (own !== sequence) this.toClient.addMessage(encodePackets(bytes.subarray(start, end), own));
    else this.#toClient(sequence, bytes, start, end);
  }

  /** The error of a result that was over its budget, as the packet that the client is waiting for. */
  #tellOver(running: Execution): void {
    const refusal = running.cut!;
    const told = inMysql(refusal);
    if (!running.isDone) this.#outcome(running, 'error', `,"errno":${told.errno},"sqlstate":"${told.code}"`);
    this.#abandon('skipped');
    this.toClient.addMessage(errorPacket(errorFor(refusal.code, refusal.message), this.#droppedFrom));
    this.#refused = told;
    this.#running = null;
  }

  /** The server owes nothing more. */
  #answered(): void {
    this.#running = null;
    this.#about = null;
    this.#masking = null;
    this.#isMetered = false;
    this.#droppedFrom = -1;
    this.#command = -1;
    this.#fromUpstream.sequence = -1;
  }

  #preparedBy(bytes: Buffer, start: number): void {
    const prepared = this.#about!;
    prepared.parameters = bytes.readUInt16LE(start + 7);
    this.#prepared.set(bytes.readUInt32LE(start + 1), prepared);
    this.#lastPrepared = prepared;
  }

  #wasReset(): void {
    // Their variables are gone.
    for (const name of this.#claimed) this.start.claims.set(name, null);
    this.#claimed.clear();
    this.#prepared.clear();
    this.#named.clear();
    this.#lastPrepared = null;
    this.#longDataKept = 0;
    this.#isUnsure = false;
    this.#reportsLost = !this.#reports;
    this.#setUp();
  }

  #outcome(execution: Execution, status: 'ok' | 'error' | 'skipped' | 'lost', fields: string): void {
    const statement = execution.statements[execution.done]!;
    this.recorder.outcome(execution, status, fields);
    const { nameChange } = statement.facts;
    if (nameChange !== null) this.#settleName(nameChange, statement, status);
  }

  /** The statements that are not done will not be. */
  #abandon(status: 'skipped' | 'lost'): void {
    const running = this.#running;
    if (running === null) return;
    while (!running.isDone) this.#outcome(running, status, '');
  }

  /** PREPARE and DEALLOCATE take effect when the server says so; a PREPARE that fails has dropped the statement before it. */
  #settleName(change: NameChange, statement: JudgedStatement, status: 'ok' | 'error' | 'skipped' | 'lost'): void {
    if (change.op === 'deallocate-all') this.#named.clear();
    else if (status === 'ok' && change.op === 'prepare') {
      const path = statement.reading?.names.searchPath ?? [];
      this.#named.set(change.name, { judgement: this.start.judge.judgePrepared(statement), path });
    } else if (status !== 'skipped') this.#named.delete(change.name);
  }

  // --- Files of the client ---------------------------------------------------------------------------------------

  /** The server asks for a file. It may have the one that the statement names, and no other. */
  #fileAsked(sequence: number, bytes: Buffer, start: number, end: number): void {
    const name = decodeLocalInfile(bytes.subarray(start, end));
    const statement = this.#running?.statements[this.#running.done];
    const isNamed = statement?.facts.effects.some(
      ({ effect, via, object }) => effect === 'file' && via === 'load data local' && object?.name === name,
    );
    if (!isNamed) throw new ProtocolViolation('the upstream asks for a file that no statement names');
    if (this.#clientSequence(sequence) !== sequence)
      throw new ProtocolViolation('a file is asked for behind a masked row of several packets');
    this.#toClient(sequence, bytes, start, end);
    this.#sendsFile = true;
    this.#fromClient.sequence = (sequence + 1) & 0xff;
    this.#fromClient.stream = EVERY_BYTE;
  }

  #filePart(bytes: Buffer, start: number, end: number): void {
    this.toUpstream.add(bytes, start, end);
    if (this.#running !== null) this.#running.bytes += end - start;
    this.#fromUpstream.sequence = -1;
  }

  #fileEnds(): void {
    this.#sendsFile = false;
    this.#fromClient.sequence = 0;
    this.#fromClient.stream = null;
  }

  // --- Diagnostics -----------------------------------------------------------------------------------------------

  /** SHOW WARNINGS about a statement that the server knows nothing of, or whose messages are withheld. @returns true if it was answered */
  #answersHere({ statements, text }: Judgement, sequence: number): boolean {
    if (this.#refused === null && !this.#withholds) return false;
    if (statements.length !== 1 || !asksForDiagnostics(statements[0]!.facts)) return false;
    const question = diagnosticsQuestion(text);
    if (question === null) return false;
    this.answers.addMessage(encodeDiagnostics(question, this.#refused, this.#answerContext(sequence)));
    return true;
  }

  /** @param sequence of the command's last packet */
  #answerContext(sequence: number): AnswerContext {
    return { capabilities: this.#own.capabilities, status: this.#statusHere, sequence: (sequence + 1) & 0xff };
  }

  /** SERVER_STATUS flags for an answer of our own. */
  get #statusHere(): number {
    return this.#response.status & ~(SERVER_STATUS.moreResultsExist | SERVER_STATUS.sessionStateChanged);
  }
}

function ownColumns(asks: OwnStatement['asks']): OwnColumn[] {
  return OWN_COLUMNS[asks].map(([name, type]) => [name, COLUMN_TYPES[type]]);
}

const COLUMN_TYPES = { text: 'varString', integer: 'longlong', time: 'datetime' } as const;

/** A time of ISO 8601 in UTC as a DATETIME. */
function timeText(time: string | null): string | null {
  return time === null ? null : time.slice(0, 19).replace('T', ' ');
}

/** What one COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE brings. */
interface ReadExecution {
  /** A set of values for each time the statement is executed. */
  readonly binds: readonly Binds[];
  readonly types: readonly ParameterType[] | null;
  readonly typesSent: boolean;
  readonly mayOpenCursor: boolean;
  /** The same command with the types in it. */
  readonly withTypes: () => Buffer;
}

/** What a COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE is judged as. */
interface AtExecution {
  readonly statements: readonly JudgedStatement[];
  readonly isHeldApart: boolean;
}

function approvalsOf(statements: readonly JudgedStatement[]): string {
  return JSON.stringify(statements.map(({ verdict }) => (verdict.action === 'hold' ? verdict.approvals : null)));
}

function errorFields({ code, sqlState }: Err): string {
  return `,"errno":${code},"sqlstate":${JSON.stringify(sqlState)}`;
}

/** What a text kills, if it is one KILL of a number and nothing else. */
function ownKill({
  statements,
  text,
}: Judgement): { readonly id: number; readonly what: 'query' | 'connection' } | null {
  if (statements.length !== 1 || !statements[0]!.facts.kind.startsWith('KILL')) return null;
  const match = /^\s*kill\s+(?:(?:hard|soft)\s+)?(?:(query|connection)\s+)?(\d{1,10})[\s;]*$/i.exec(
    text.replace(/\/\*.*?\*\//gs, ' '),
  );
  if (match === null) return null;
  return { id: Number(match[2]), what: match[1]?.toLowerCase() === 'query' ? 'query' : 'connection' };
}

/** Statements whose results may be any number: those that run a procedure, or what is not known. An OK packet ends them. */
function mayHaveSeveralResults({ kind, effects }: StatementFacts): boolean {
  return SEVERAL_RESULTS.has(kind) && effects.some(({ effect }) => effect === 'call-procedure' || effect === 'opaque');
}

const SEVERAL_RESULTS = new Set(['CALL', 'EXECUTE', 'EXECUTE IMMEDIATE', 'OPAQUE']);

const COMMAND_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(COM).map(([name, code]) => [code, `COM_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`]),
);

/** True if the statement may change how text is read, and what the server reports of that. */
function mayHideChanges({ effects }: StatementFacts): boolean {
  return effects.some(
    ({ effect, object }) =>
      effect === 'opaque' ||
      effect === 'call-procedure' ||
      (effect === 'set-session' && (object === null || object.name.toLowerCase().startsWith('session_track'))),
  );
}

/** Stands for bytes that are none of the character set: parts of a value, as far as the text can be judged. */
const UNREADABLE = '\ufffd';

function namesUnreadable({ facts }: JudgedStatement): boolean {
  return facts.effects.some(({ object, columns, value }) =>
    [object?.schema, object?.name, value, ...(columns ?? [])].some((name) => name?.includes(UNREADABLE)),
  );
}

function usesMasked({ verdict: { masks } }: JudgedStatement): boolean {
  return masks !== null && (masks.ids.length > 0 || masks.touchesMasked);
}

/** The values of an execution for its record; what may be a masked value is left out. */
function recordedBinds(binds: Binds, statements: readonly JudgedStatement[], redact: Redaction): string | null {
  if (binds.json === null || redact === 'none') return binds.json;
  if (redact === 'all-literals') return withoutValues(binds);
  for (let i = 0; i < statements.length; i++) {
    const { verdict, hidesValues } = statements[i]!;
    if (hidesValues) return withoutValues(binds);
    const { masks } = verdict;
    if (masks === null) continue;
    if (masks.touchesMasked || (masks.detects && binds.values.some((value) => masks.finds(value))))
      return withoutValues(binds);
  }
  return binds.json;
}

function pathOf(database: string | null): readonly string[] {
  return database === null ? [] : [database];
}

/** The statement id of a command that has one right behind its first byte. */
function statementIdAt(bytes: Buffer, start: number, end: number): number {
  if (end - start < 5) throw new ProtocolViolation('a command about a prepared statement that is too short');
  return bytes.readUInt32LE(start + 1);
}

function resetOf(id: number): Buffer {
  const payload = Buffer.alloc(5);
  payload[0] = COM.stmtReset;
  payload.writeUInt32LE(id, 1);
  return payload;
}
