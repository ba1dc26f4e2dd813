import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Granted, Ruling, StopWaiting } from '../approvals/approvals.ts';
import { hashOfBinding, type Question } from '../approvals/request.ts';
import type { Estimate, EstimateQuestion } from '../catalog/estimates.ts';
import type { Meter } from '../policy/budgets.ts';
import type { NameContext } from '../statements/catalogue.ts';
import type { StatementFacts } from '../statements/facts.ts';
import { endSocket } from './end-socket.ts';
import { approved, isDenied, isHeld, type JudgedStatement, type Judgement, type Lexing } from './judge.ts';
import { changesOthers } from './meaning.ts';
import { Metering } from './metering.ts';
import type { NamesInForce } from './names-in-force.ts';
import { Outbox } from './outbox.ts';
import { MOST_REQUESTS, type OwnRow, requestRows, sessionRows } from './own-answers.ts';
import {
  notAlone,
  type Refusal,
  refusalOf,
  refusedByRuling,
  type Unholdable,
  unanswered,
  unholdable,
} from './refusal.ts';
import type { SessionServices } from './services.ts';
import { SessionNames } from './session-names.ts';
import type { SessionStart } from './session-start.ts';
import { StatementRecorder } from './statement-recorder.ts';
import type { TurnMember } from './turn.ts';
import { BIG, type UpstreamReader } from './upstream-reads.ts';

/** How often, and after how many milliseconds each, a server is asked to end what a session runs until it has gone. */
const MOST_KILLS = 20;
const KILL_AGAIN_MS = 250;
/** What was read of the catalogue so long ago is still what it says, milliseconds. */
const CATALOGUE_NEW_MS = 100;
/** What a client may send behind a statement that waits for a person, and still be noticed when it goes away, bytes. */
const MOST_BEHIND = 64 * 1024;

/** What becomes of statements at one execution of them. */
export interface Decided {
  readonly statements: readonly JudgedStatement[];
  readonly refusal: Refusal | null;
  readonly meter: Meter | null;
  /** By which they run though a rule holds them. */
  readonly grant: Granted | null;
}

/** What is answered to a question to Sluice, or why it is not. */
type OwnAnswer = readonly OwnRow[] | Refusal;

export function isAnswered(answer: OwnAnswer): answer is readonly OwnRow[] {
  return Array.isArray(answer);
}

/** A statement that waits for people. */
interface Hold {
  /** Of what was asked; see `hashOfBinding`. */
  readonly key: string;
  readonly stop: AbortController;
  ruling: Ruling | null;
}

/**
 * One client, one upstream connection, between login and close: what is the same whichever protocol they speak.
 *
 * Client to server: each message is judged and *staged*; at the end of the event-loop turn the records of the turn are
 * written and what is staged is sent. If they cannot be written, everything since the first recorded message of the turn
 * (the *mark*) is taken back and judged anew. A message that cannot be judged yet stops the reading from the client until
 * the server, or Sluice itself, has said what decides about it. Server to client: chunks pass as they came while their
 * messages are counted. Each side that does not take what it is sent stops the other from being read.
 *
 * A dialect reads the messages: it implements what is abstract here. See docs/data-path.md.
 */
export abstract class Session implements TurnMember, UpstreamReader {
  readonly id: string;
  readonly start: SessionStart;
  protected readonly services: SessionServices;
  protected readonly recorder: StatementRecorder;
  protected readonly metering: Metering;
  protected readonly names: SessionNames;
  readonly #client: Socket;
  readonly #upstream: Socket;
  protected readonly toUpstream = new Outbox();
  /** What the upstream sent, on its way to the client. */
  protected readonly toClient = new Outbox();
  /** Answers of our own. They are made only while the server has nothing in hand, and wait for the records of the turn. */
  protected readonly answers = new Outbox();

  /** What the client's next message waits for: an answer of the server, something that Sluice itself is finding out, people. */
  #waiting: 'nothing' | 'server' | 'sluice' | 'approval' = 'nothing';
  /** Input that waits with it. */
  #rest: Buffer | null = null;
  #restAt = 0;
  /** The judgement that was waited for. */
  #analysed: Judgement | null = null;
  /** The statement that waits for approval, or has just got a ruling. */
  #hold: Hold | null = null;
  /** True if the catalogue was read for the message in hand. */
  #isCatalogueNew = false;
  /** What the server expects of the statements in hand. */
  #estimate: { readonly key: string; readonly estimate: Estimate | null } | null = null;
  /** The answer to a question to Sluice that was looked up. */
  #ownAnswer: { readonly text: string; readonly values: string | null; readonly answer: OwnAnswer } | null = null;
  /** Tells the client that it waits; sent as soon as nothing of the server's is under way. */
  #notice: Buffer | null = null;

  /** What came last and is read at the end of this turn, and from which side. */
  #arrived: Buffer | null = null;
  #isClients = false;
  #settingsChanged = 0;

  #inTurn = false;
  /** True while the records of what is staged are written, but not on the disk yet. */
  #awaitsDisk = false;
  /** True from the first recorded message of this turn on: what follows may have to be taken back. */
  #marked = false;
  /** Messages since then: ranges of chunks. */
  readonly #sinceMark = new Outbox();

  #upstreamFull = false;
  #clientFull = false;
  #clientGone = false;
  #clientLeft = false;
  #closed = false;
  #finished = false;
  #draining = false;
  /** Says which side ended the session first, in the words of the `session.end` record. */
  #endReason = '';
  /** @param path the schemas in which unqualified names are looked for; empty if that does not matter or is not known */
  constructor(
    services: SessionServices,
    client: Socket,
    upstream: Socket,
    start: SessionStart,
    path: readonly string[],
  ) {
    this.services = services;
    this.#client = client;
    this.#upstream = upstream;
    this.start = start;
    this.id = start.id;
    this.recorder = new StatementRecorder(services, start);
    this.metering = new Metering(services.budgets, start, () => this.#serverSpoke());
    this.names = new SessionNames(start.names, path);
  }

  // --- What a dialect says -----------------------------------------------------------------------------------------

  /** True if the server has nothing of this session in hand and no transaction is open. */
  protected abstract readonly isIdle: boolean;
  /** True while an answer of the server is outstanding. */
  abstract readonly owesAnswers: boolean;
  /** True while something of our own has to follow what the server has in hand, for that to be kept or undone. */
  protected abstract readonly isGuarding: boolean;
  /** True if what the upstream sent so far ends with a whole message: one of ours may follow. */
  protected abstract readonly upstreamAtBoundary: boolean;

  /**
   * Judges and stages the client's messages in `chunk` from `from` on.
   * @returns how far it got: less than all if a message has to wait
   */
  protected abstract readClient(chunk: Buffer, from: number): number;
  /** Judges and stages whole messages again, that were taken back. @returns false if one of them would have to wait */
  protected abstract readAgain(messages: Buffer): boolean;
  /** Settles the upstream's messages and adds to `toClient` what is for the client. */
  protected abstract readUpstream(chunk: Buffer): void;

  /** Remembers its state, for {@link takeBack}. */
  protected abstract mark(): void;
  /** What was sent since the mark has left: it cannot be taken back any more. */
  protected abstract unmark(): void;
  /** Nothing that was sent since the mark has left: it was not sent. */
  protected abstract takeBack(): void;
  /** Last records of this turn, before the journal is written. */
  abstract beforeFlush(): void;

  /** True if it means that the other side broke the protocol. */
  protected abstract isViolation(error: unknown): error is Error;
  /** The error that ends a session. @param code SQLSTATE */
  protected abstract encodeFatal(code: string, message: string): Buffer;
  /** The code for {@link encodeFatal} by which clients know that the identity of the session has ended. */
  protected abstract readonly identityEnded: string;
  /** Tells a client that its statement waits for approval, and under which number; `null` where the protocol has no such message. */
  protected abstract encodeWaiting(request: number, message: string, link: string | null): Buffer | null;
  /** What says to the server that the session is over. */
  protected abstract readonly farewell: Buffer;
  /** The session is over: settles what has no answer. */
  protected abstract settleLost(): void;

  // --- Client to server --------------------------------------------------------------------------------------------

  /** Takes bytes from the client. */
  fromClient(chunk: Buffer): void {
    if (!this.#closed) this.#takeLater(chunk, true);
  }

  /**
   * Has what came read at the end of the turn, together with what came for other sessions: code that runs once for each socket,
   * between system calls, finds nothing of it in the processor's caches.
   */
  #takeLater(chunk: Buffer, isClients: boolean): void {
    if (this.#arrived !== null) {
      this.takeIn();
      if (!this.toClient.isEmpty) this.#sendToClient();
    }
    this.#arrived = chunk;
    this.#isClients = isClients;
    this.joinTurn();
  }

  /** Reads what has come and was left for the end of the turn. */
  takeIn(): void {
    const chunk = this.#arrived;
    if (chunk === null) return;
    this.#arrived = null;
    if (this.#closed) return;
    this.recorder.readingSince = this.services.now();
    if (this.#isClients) this.#takeFromClient(chunk);
    else this.#takeFromUpstream(chunk);
  }

  #takeFromClient(chunk: Buffer): void {
    if (this.#awaitsDisk && this.#rest === null) {
      // What is judged after it could not be told apart from what waits.
      this.#rest = chunk;
      this.#restAt = 0;
      this.#client.pause();
      return;
    }
    if (this.#rest !== null) {
      this.#rest = Buffer.concat([this.#rest.subarray(this.#restAt), chunk]);
      this.#restAt = 0;
      if (this.#rest.length > MOST_BEHIND) this.#client.pause();
      return;
    }
    this.#read(chunk, 0);
  }

  #read(chunk: Buffer, from: number): void {
    try {
      const at = this.readClient(chunk, from);
      if (this.#waiting !== 'nothing' && !this.#closed) {
        this.#rest = chunk;
        this.#restAt = at;
        if (!this.isHeld || chunk.length - at > MOST_BEHIND) this.#client.pause();
      }
    } catch (error) {
      this.clientFailed(error);
    }
    this.joinTurn();
  }

  /** Stops before the message in hand until the server has answered what decides about it. */
  protected waitForServer(): false {
    this.#waiting = 'server';
    return false;
  }

  /** Stops before the message in hand until Sluice itself has found out what decides about it. */
  protected waitFor(work: Promise<unknown>): false {
    this.#waiting = 'sluice';
    const goOn = (): void => this.#resume();
    work.then(goOn, goOn);
    return false;
  }

  /** The wait is over: goes on with the message it was about. */
  #resume(): void {
    if (this.#closed || this.#waiting === 'nothing') return;
    this.#waiting = 'nothing';
    this.#takeRest();
  }

  /** Reads what has waited, unless it has to wait on. */
  #takeRest(): void {
    const chunk = this.#rest;
    if (chunk === null || this.#awaitsDisk || this.#closed || this.#waiting !== 'nothing') return;
    this.#rest = null;
    this.#read(chunk, this.#restAt);
    this.#readOn();
  }

  #serverSpoke(): void {
    if (this.#waiting !== 'server') return;
    // Before answers of our own to what the client has sent after it.
    if (!this.toClient.isEmpty) this.#sendToClient();
    this.#resume();
  }

  /** Reads on from the client unless something it does has to be waited for. */
  #readOn(): void {
    // Whose statement waits for a person may go away meanwhile: only who is read from is noticed.
    const behind = this.#rest === null ? 0 : this.#rest.length - this.#restAt;
    if (this.#awaitsDisk && this.#rest !== null) return;
    const isHeard = this.#waiting === 'nothing' || (this.isHeld && behind <= MOST_BEHIND);
    if (isHeard && !this.#upstreamFull && !this.#clientFull && !this.#closed) this.#client.resume();
  }

  // --- Verdicts at execution ---------------------------------------------------------------------------------------

  /**
   * What becomes of statements that do not just pass; `'wait'` if people are asked about them.
   *
   * @param otherRefusal why they may not run for another reason than a rule; `null` if there is none
   * @param question what people are asked, or why they cannot be asked now
   */
  protected decide(
    statements: readonly JudgedStatement[],
    otherRefusal: Refusal | null,
    question: (held: JudgedStatement) => Question | Unholdable,
  ): Decided | 'wait' {
    const refusal = refusalOf(statements, this.services.journal.failure, isDenied) ?? otherRefusal;
    if (refusal !== null) return { statements, refusal, meter: null, grant: null };
    const held = statements.find(isHeld);
    if (held === undefined) return { statements, ...this.metering.begin(statements), grant: null };
    // What people are asked about is what names mean now, and not what they meant when the catalogue was last read.
    if (this.#hold === null && !this.#isCatalogueNew) {
      this.#isCatalogueNew = true;
      this.waitFor(this.names.refresh());
      return 'wait';
    }
    const asked = question(held);
    if (typeof asked === 'string') return { statements, refusal: unholdable(held, asked), meter: null, grant: null };
    const ruling = this.#rulingOn(asked);
    if (ruling === null) return 'wait';
    if (ruling.kind !== 'granted') {
      return {
        statements,
        refusal: refusedByRuling(ruling, held, this.start.connection.protocol),
        meter: null,
        grant: null,
      };
    }
    if (!this.isReadyFor(ruling, statements)) {
      this.#hold = { key: hashOfBinding(asked.binding), stop: new AbortController(), ruling };
      return 'wait';
    }
    return this.decideGranted(statements, ruling);
  }

  /** Makes ready what a granted execution needs. @returns false if that is waited for: then the statements come again */
  protected isReadyFor(_grant: Granted, _statements: readonly JudgedStatement[]): boolean {
    return true;
  }

  /** What becomes of statements that people have approved. */
  protected decideGranted(statements: readonly JudgedStatement[], grant: Granted): Decided {
    const granted = statements.map(approved);
    return { statements: granted, ...this.metering.begin(granted), grant };
  }

  // --- Estimates ---------------------------------------------------------------------------------------------------

  /**
   * What the server expects of statements, where a rule about them asks; `null` if it is not asked or cannot be told, `'wait'`
   * while it is asked: then they come again.
   *
   * @param values that tell them from the same text with other values
   * @param preview what can be asked about them
   */
  protected estimateOf(
    { text }: Judgement,
    statements: readonly JudgedStatement[],
    values: string | null,
    preview: () => EstimateQuestion | null,
  ): Estimate | null | 'wait' {
    const key = `${text}\0${values ?? ''}`;
    if (!needsEstimate(statements)) return null;
    const found = this.#estimate;
    this.#estimate = null;
    if (found?.key === key) return found.estimate;
    this.waitFor(
      this.askEstimate(statements, preview()).then((estimate) => {
        this.#estimate = { key, estimate };
      }),
    );
    return 'wait';
  }

  /** As {@link estimateOf}, at once. */
  protected async askEstimate(
    statements: readonly JudgedStatement[],
    question: EstimateQuestion | null,
  ): Promise<Estimate | null> {
    if (question === null || !needsEstimate(statements)) return null;
    const { name, protocol, upstream } = this.start.connection;
    return this.services.estimates.of(name, { protocol, ...upstream }, question);
  }

  // --- Approval ----------------------------------------------------------------------------------------------------

  /**
   * What people say to statements that a rule holds, at this execution of them; `null` while that is waited for. A grant is
   * used up by returning it here.
   */
  #rulingOn(question: Question): Ruling | null {
    const key = hashOfBinding(question.binding);
    const hold = this.#hold;
    this.#hold = null;
    // What was judged again while it waited may be another question by now: then the answer is not for it.
    if (hold?.ruling != null && hold.key === key) return hold.ruling;
    this.#ask(question, key);
    return null;
  }

  #ask(question: Question, key: string): void {
    const hold: Hold = { key, stop: new AbortController(), ruling: null };
    this.#hold = hold;
    this.#waiting = 'approval';
    const { approvals, counters } = this.services;
    counters.waiting++;
    const asked = ({ id }: { readonly id: number }): void => {
      if (this.#closed || this.#hold !== hold) return;
      const { approvalsUrl } = this.services;
      this.#notice = this.encodeWaiting(id, question.message, approvalsUrl && `${approvalsUrl}/approvals/${id}`);
      this.#sendNotice();
    };
    const since = this.services.now();
    void approvals.rule(question, asked, hold.stop.signal).then(async (ruling) => {
      // What it stands for may have become another while people thought: then they are asked about that.
      if (ruling.kind === 'granted' && this.services.now() - since > CATALOGUE_NEW_MS) await this.names.refresh();
      counters.waiting--;
      if (this.#closed || this.#hold !== hold) return;
      this.#notice = null;
      hold.ruling = ruling;
      this.recorder.readingSince = this.services.now();
      this.#resume();
      if (this.#draining && this.isIdle) this.#drainNow();
    });
  }

  #sendNotice(): void {
    if (this.#notice === null || !this.upstreamAtBoundary) return;
    this.toClient.addMessage(this.#notice);
    this.#notice = null;
    this.joinTurn();
  }

  /** Statements are about to run: what they set may change what later ones do. */
  protected noteSettings(facts: StatementFacts): void {
    if (changesOthers(facts)) this.#settingsChanged++;
  }

  /** Different for every change of such a setting, and for every session that has made one; empty if there was none. */
  protected get changedSettings(): string {
    return this.#settingsChanged === 0 ? '' : `${this.id} ${this.#settingsChanged}`;
  }

  /** True while a statement waits for a person. */
  get isHeld(): boolean {
    return this.#waiting === 'approval';
  }

  /** A held statement waits no longer: its client wants it no more, or cannot wait. @returns false if none waits */
  stopWaiting(why: StopWaiting): boolean {
    if (!this.isHeld) return false;
    this.#hold?.stop.abort(why);
    return true;
  }

  // --- Questions to Sluice -------------------------------------------------------------------------------------------

  /**
   * The answer to what a text asks of Sluice itself, or `null` while that is looked up: then the text comes again.
   *
   * @param asks of its judgement; not `null`
   * @param values that tell it from the same text with other values
   * @param explain finds out what would become of the text that it asks about
   */
  protected ownAnswer(
    { text, asks, statements }: Judgement,
    values: string | null,
    explain: (from: number) => Promise<readonly OwnRow[]>,
  ): OwnAnswer | null {
    const { kind } = statements[0]!.facts;
    const cannot = refusalOf(statements, this.services.journal.failure, () => false);
    if (cannot !== null) return cannot;
    const question = asks!.question;
    if (question === null) return notAlone(kind);
    const found = this.#ownAnswer;
    this.#ownAnswer = null;
    if (found?.text === text && found.values === values) return found.answer;
    const rows = async (): Promise<readonly OwnRow[]> => {
      if (question.asks === 'verdict') return explain(question.from!);
      const { start, services } = this;
      if (question.asks === 'session') return sessionRows(start, start.judge.rulesVersion, start.claims.all);
      const requests = await services.approvals.requestsOf(start.identity, start.connection.name, MOST_REQUESTS);
      return requestRows(requests, services.approvalsUrl);
    };
    const answered = rows().then(
      (answer) => {
        this.#ownAnswer = { text, values, answer };
      },
      (error: Error) => {
        this.services.log.error({ session: this.id, err: error }, 'a question to Sluice could not be answered');
        this.#ownAnswer = { text, values, answer: unanswered(kind) };
      },
    );
    this.waitFor(answered);
    return null;
  }

  // --- Judging -----------------------------------------------------------------------------------------------------

  /** The judgement of a text, or `null` if it has to be waited for. */
  protected judgeText(text: string, lexing: Lexing): Judgement | null {
    return (
      this.#takeAnalysed(text, this.names.current) ??
      this.#now(this.start.judge.judge(text, { lexing, names: this.names.current }))
    );
  }

  /**
   * The judgement of what was judged before, under the rules in force now, or `null` if it has to be waited for.
   * @param names what names mean to it
   */
  protected judgeAgain(before: Judgement, names: NameContext = this.names.current): Judgement | null {
    const analysed = before.reading === null ? null : this.#takeAnalysed(before.text, names);
    return analysed ?? this.#now(this.start.judge.again(before, names));
  }

  /** The judgement that was waited for, if it still holds. */
  #takeAnalysed(text: string, names: NameContext): Judgement | null {
    const analysed = this.#analysed;
    this.#analysed = null;
    if (analysed?.text !== text || analysed.reading?.names !== names) return null;
    const again = this.start.judge.again(analysed, names);
    return again instanceof Promise ? null : again;
  }

  #now(judgement: Judgement | Promise<Judgement>): Judgement | null {
    if (!(judgement instanceof Promise)) return judgement;
    this.#waiting = 'sluice';
    judgement.then(
      (done) => {
        this.#analysed = done;
        this.#resume();
      },
      (error: Error) => this.fatal('XX000', `Sluice could not read a statement: ${error.message}`, 'analysis failed'),
    );
    return null;
  }

  // --- The end of a turn -------------------------------------------------------------------------------------------

  /** Has what is staged sent at the end of this turn. */
  protected joinTurn(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.services.turn.join(this);
  }

  /** A message comes that will be recorded: from it on, what is staged in this turn may have to be taken back. */
  protected markOnce(): void {
    if (this.#marked) return;
    this.#marked = true;
    this.toUpstream.mark();
    this.answers.mark();
    this.mark();
  }

  /** True if what is staged now may have to be taken back. */
  protected get isMarked(): boolean {
    return this.#marked;
  }

  /** Keeps a message whose fate is decided, since it may have to be judged again. */
  protected keepForAgain(bytes: Buffer, start: number, end: number): void {
    // What people said was for this message. If it did not need that, no later one may have it.
    this.#hold = null;
    this.#isCatalogueNew = false;
    if (this.#marked) this.#sinceMark.add(bytes, start, end);
  }

  get needsDisk(): boolean {
    return this.#marked && !this.#awaitsDisk;
  }

  awaitDisk(): void {
    this.#awaitsDisk = true;
    this.release();
  }

  onDisk(): void {
    this.#awaitsDisk = false;
    this.release();
    this.#takeRest();
  }

  notOnDisk(): void {
    this.#awaitsDisk = false;
    this.unrecorded();
    this.#takeRest();
  }

  release(): void {
    this.#inTurn = false;
    if (this.#awaitsDisk) {
      // What the server sends depends on nothing that waits, but comes after answers that do.
      if (this.answers.isEmpty && !this.toClient.isEmpty && !this.#clientLeft) this.#sendToClient();
      return;
    }
    if (this.#marked) {
      this.#marked = false;
      this.#sinceMark.clear();
      this.unmark();
    }
    if (!this.#client.destroyed && !this.#clientLeft) {
      if (!this.answers.isEmpty && !this.answers.writeTo(this.#client)) {
        this.#clientFull = true;
        this.#client.pause();
      }
      if (!this.toClient.isEmpty) this.#sendToClient();
    }
    if (!this.toUpstream.isEmpty && this.#upstream.writable && !this.toUpstream.writeTo(this.#upstream)) {
      this.#upstreamFull = true;
      this.#client.pause();
    }
    if (this.#closed) this.#finish();
    else if (this.#clientGone && this.#waiting === 'nothing' && this.#rest === null && !this.isGuarding) {
      this.#upstream.end();
    }
  }

  unrecorded(): void {
    if (!this.#marked || this.#awaitsDisk) {
      this.release();
      return;
    }
    // Nothing since the mark has left: take it back, and judge it again now that nothing can be recorded.
    this.#marked = false;
    this.toUpstream.cutBack();
    this.answers.cutBack();
    this.takeBack();
    const messages = Buffer.concat(this.#sinceMark.take());
    if (this.#closed) {
      this.release();
      return;
    }
    try {
      if (!this.readAgain(messages)) this.fatal('58030', 'Sluice cannot record statements.', 'cannot record');
    } catch (error) {
      this.clientFailed(error);
    }
    this.beforeFlush();
    this.release();
    // What it waited for may have been taken back.
    this.#serverSpoke();
  }

  // --- Server to client --------------------------------------------------------------------------------------------

  /** Takes bytes from the upstream. */
  fromUpstream(chunk: Buffer): void {
    if (this.#closed) return;
    if (chunk.length < BIG) {
      this.#takeLater(chunk, false);
      return;
    }
    this.takeIn();
    this.recorder.readingSince = this.services.now();
    this.#takeFromUpstream(chunk);
    if (!this.toClient.isEmpty) this.#sendToClient();
  }

  #takeFromUpstream(chunk: Buffer): void {
    try {
      this.readUpstream(chunk);
    } catch (error) {
      const { name } = this.start.connection;
      this.services.log.error(
        { session: this.id, connection: name, error: (error as Error).message },
        'upstream broke the protocol',
      );
      this.recorder.violated('upstream', (error as Error).message);
      this.fatal('08006', `The upstream of connection "${name}" broke the protocol.`, 'upstream broke the protocol');
    }
    this.#sendNotice();
    this.#serverSpoke();
    if (this.#draining && this.isIdle) this.#drainNow();
  }

  #sendToClient(): void {
    if (!this.toClient.writeTo(this.#client)) this.#upstream.pause();
  }

  /** Statements recorded so far. */
  get statements(): number {
    return this.recorder.statements;
  }

  get holdsChunk(): boolean {
    return this.#client.writableLength > 0;
  }

  // --- The ends ----------------------------------------------------------------------------------------------------

  protected get isClosed(): boolean {
    return this.#closed;
  }

  /** Other rules are in force, and with them names may have begun to matter. */
  setNames(names: NamesInForce | null): void {
    // What was set while no rule asked was not looked at.
    if (!this.names.matter && names !== null) this.#settingsChanged++;
    this.names.setInForce(names);
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
    return !this.owesAnswers && !this.isHeld && this.recorder.readingSince < time;
  }

  /** The client sent its last byte. The server answers what it has in hand and ends the session, as it would without us. */
  clientEnded(): void {
    this.takeIn();
    if (this.#closed) return;
    if (this.isHeld) {
      this.clientClosed('client closed');
      return;
    }
    this.#clientGone = true;
    this.joinTurn();
  }

  clientClosed(reason: string): void {
    this.takeIn();
    this.end(reason);
    this.joinTurn();
  }

  upstreamClosed(reason: string): void {
    this.takeIn();
    if (this.#closed) return;
    if (!this.#clientGone && this.#endReason === '' && this.upstreamAtBoundary) {
      this.fatal('08006', `The upstream of connection "${this.start.connection.name}" closed the connection.`, reason);
    } else {
      this.end(this.#clientGone ? 'client closed' : reason);
      this.joinTurn();
    }
  }

  /** Ends the session with an error for the client. @param code SQLSTATE */
  terminate(code: string, message: string, reason: string): void {
    this.takeIn();
    this.stopWaiting('leave');
    this.fatal(code, message, reason);
  }

  /** The identity of the session has ended: so does what it runs. The server rolls its transaction back. */
  revoke(message: string, reason: string): void {
    this.takeIn();
    if (this.#closed) return;
    if (this.owesAnswers) void this.#killUntilGone();
    this.fatal(this.identityEnded, message, reason);
  }

  /** A server that is busy does not notice that its client has gone; and a request may come before what it is to cancel. */
  async #killUntilGone(): Promise<void> {
    for (let tries = 0; tries < MOST_KILLS && !this.#upstream.destroyed; tries++) {
      try {
        await this.start.kill();
      } catch (error) {
        this.services.log.warn(
          { session: this.id, reason: (error as Error).message },
          'the server cannot be asked to end what a session runs',
        );
      }
      await sleep(KILL_AGAIN_MS, undefined, { ref: false });
    }
  }

  /** Ends the session as soon as no transaction is open. */
  drain(): void {
    this.takeIn();
    this.#draining = true;
    // Its request stays open: sent again elsewhere, the statement collects what is decided.
    if (this.stopWaiting('leave')) return;
    if (this.isIdle) this.#drainNow();
  }

  #drainNow(): void {
    this.fatal('57P01', 'Sluice is shutting down.', 'drained');
  }

  /** The client's bytes cannot be read, or reading them failed. */
  clientFailed(error: unknown): void {
    if (this.#closed) return;
    if (this.isViolation(error)) {
      this.services.log.warn({ session: this.id, violation: error.message }, 'client broke the protocol');
      this.services.counters.violations++;
      this.recorder.violated('client', error.message);
      this.fatal('08P01', error.message, 'protocol violation');
      return;
    }
    this.services.log.error({ session: this.id, err: error }, 'internal error');
    this.fatal(
      'XX000',
      'Internal error in Sluice; the session was ended and nothing more was forwarded.',
      'internal error',
    );
  }

  /** Tells the client why, forwards nothing more, and ends. @param code SQLSTATE */
  protected fatal(code: string, message: string, reason: string): void {
    if (this.#closed) return;
    if (this.#marked) {
      this.#marked = false;
      this.toUpstream.cutBack();
    }
    if (this.upstreamAtBoundary) this.toClient.addMessage(this.encodeFatal(code, message));
    this.end(reason);
    this.joinTurn();
  }

  /** Ends the session without its client. @returns what the client has sent that nobody has read */
  leaveClient(reason: string): Buffer {
    this.#clientLeft = true;
    this.end(reason);
    this.joinTurn();
    return this.#rest?.subarray(this.#restAt) ?? Buffer.alloc(0);
  }

  /** Says why the session will have ended, for a reason that comes before its end. */
  protected noteEndReason(reason: string): void {
    this.#endReason ||= reason;
  }

  /** Nothing more is read; what is staged is still sent. */
  protected end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hold?.stop.abort('withdraw' satisfies StopWaiting);
    this.#endReason ||= reason;
  }

  /** The last bytes are with the sockets. */
  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.settleLost();
    this.services.budgets.endSession(this.id);
    this.recorder.sessionEnded(this.#endReason);
    if (!this.#clientLeft) endSocket(this.#client);
    endSocket(this.#upstream, this.farewell);
    this.services.ended(this);
  }
}

/** Planning runs no function but those that are known to only compute: what does more is not planned. */
const PLANNED: ReadonlySet<string> = new Set(['read', 'insert', 'update', 'delete', 'merge']);

/** True if a rule asks for an estimate, and one can be had without doing anything. */
function needsEstimate(statements: readonly JudgedStatement[]): boolean {
  const [first, second] = statements;
  return (
    first !== undefined &&
    second === undefined &&
    first.verdict.needsEstimate === true &&
    first.facts.effects.every(({ effect }) => PLANNED.has(effect))
  );
}
