import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExpressionBuilder, Transaction } from 'kysely';
import { type Identity, identityId } from '../identity/identity.ts';
import { currentTime, MOST_AHEAD_MS } from '../store/clock.ts';
import type { Store } from '../store/store.ts';
import type { ApprovalRequestsTable, ApprovalVotesTable, Tables } from '../store/tables.ts';
import { ChangeFeed, type RequestChange, type Told } from './change-feed.ts';
import { type History, historyOf } from './history.ts';
import type { Impact } from './impact.ts';
import { PreviewQueue } from './preview-queue.ts';
import {
  type ApprovalRequest,
  hashOfBinding,
  hashOfRequester,
  hashOfShape,
  isNarrower,
  isUncounted,
  mergedApprovals,
  type Question,
  type RequestState,
  type Vote,
  whyUnguarded,
} from './request.ts';
import { isOver, resultOf, type Voter, voteOf, whyNotBreakGlass, whyNotVote } from './voting.ts';

/** How often requests that somebody here waits for are looked at, since another node may have taken the votes, milliseconds. */
const LOOK_MS = 500;
/** How often requests whose time is over are closed, milliseconds. */
const SWEEP_MS = 5_000;
/** How long somebody who opens a request waits for what it would do, milliseconds: longer than the server may take to count. */
const OPEN_MS = 7_000;
/** Failures to look into requests that are remembered. */
const MOST_FAILURES = 1_000;

/** What somebody says with their vote. */
export interface Ballot extends Pick<Vote, 'reason' | 'channel'> {
  /** It is approved whatever number of rows it changes, if nobody has counted them. */
  readonly unguarded?: boolean;
  /** How far the approval reaches, where that is to be less far than the rules allow. */
  readonly grant?: ApprovalRequest['grant'] | undefined;
}

/** A held statement may run now, once. */
export interface Granted {
  readonly kind: 'granted';
  readonly request: number;
  /** The most rows an update or delete may change; `null` if nobody has counted them. */
  readonly rows: number | null;
}

/** What has become of a statement that a rule holds. `request` is the ticket. */
export type Ruling =
  | Granted
  /** The client has waited as long as the rule says: approval comes later, if it does. */
  | { readonly kind: 'ticket'; readonly request: number }
  | { readonly kind: 'rejected' | 'expired'; readonly request: number; readonly reason: string }
  | { readonly kind: 'withdrawn'; readonly request: number }
  /** Nobody can be asked. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/**
 * Why a statement stops waiting before its time: its client does not want it any more (`withdraw`) or cannot wait any longer
 * (`leave`), or other rules are in force, by which it is judged anew (`judge again`).
 */
export type StopWaiting = 'withdraw' | 'leave' | 'judge again';

/** What is said of a request that its client withdraws; `null` where it stays open. */
const WITHDRAWN: Readonly<Record<StopWaiting, string | null>> = {
  withdraw: 'The client cancelled the statement or went away.',
  leave: null,
  'judge again': 'The rules have changed: the statement is judged anew.',
};

/** What happens to requests, for records, the log, and whoever watches. */
export type ApprovalEvent =
  | { readonly event: 'requested'; readonly request: ApprovalRequest }
  | {
      readonly event: 'voted';
      readonly request: ApprovalRequest;
      readonly vote: Vote;
      /** How far the approval reaches by this vote, if that is less far than before. */
      readonly grant: ApprovalRequest['grant'] | null;
    }
  | { readonly event: 'decided'; readonly request: ApprovalRequest }
  | { readonly event: 'collected'; readonly request: ApprovalRequest; readonly session: string }
  | { readonly event: 'estimated'; readonly request: ApprovalRequest };

/** What becomes of finding out what a request would do; `waits` is of this node. */
export type PreviewState =
  | { readonly state: 'made'; readonly reason: null }
  | { readonly state: 'waits' | 'not made'; readonly reason: string };

export class VoteRefused extends Error {
  override readonly name: string = 'VoteRefused';
}

/** Whoever approves has not been told how many rows would change, and has not said that it does not matter. */
export class NotCounted extends VoteRefused {
  override readonly name = 'NotCounted';
}

export interface ApprovalServices {
  readonly store: Store;
  /** Why an identity has ended; `null` while it has not. Votes of those that have do not count. */
  readonly ended: (identity: Pick<Identity, 'issuer' | 'subject'>) => string | null;
  /** Finds out what the statement would do; `null` where it cannot. */
  readonly preview: ((question: Question) => Promise<Impact>) | null;
  /** Notes down who is to be told of an event, in the step that makes it; `null` where nobody is. */
  readonly announce: ((transaction: Transaction<Tables>, event: ApprovalEvent) => Promise<void>) | null;
  readonly failed: (what: string, error: Error) => void;
}

/**
 * The requests for approval, and what becomes of them. The store is the truth: every change is one step there, whichever
 * node makes it, so that a grant is collected once and a restart loses nothing. What this process holds are the clients that
 * wait on their open connections.
 */
export class Approvals {
  readonly events = new EventEmitter<{ change: [ApprovalEvent] }>();
  readonly #services: ApprovalServices;
  readonly #feed: ChangeFeed;
  /** Woken when a request may have changed. */
  readonly #waiting = new Map<number, Set<() => void>>();
  /** What is being written or read for somebody. */
  readonly #pending = new Set<Promise<unknown>>();
  /** Why requests that were opened were not looked into; the oldest are forgotten. */
  readonly #notMade = new Map<number, string>();
  readonly #previews = new PreviewQueue((id) => this.#tracked(this.#estimate(id)));
  readonly #looking: NodeJS.Timeout;
  readonly #sweeping: NodeJS.Timeout;

  constructor(services: ApprovalServices) {
    this.#services = services;
    this.#feed = new ChangeFeed({
      newest: () => newestChange(services.store),
      after: (change, most) => readChanges(services.store, change, most),
    });
    this.#looking = setInterval(() => void this.#tracked(this.#look()), LOOK_MS).unref();
    this.#sweeping = setInterval(() => void this.#tracked(this.#sweep()), SWEEP_MS).unref();
  }

  /** Resolves when nothing of the store is needed any more. Whoever waits has to stop waiting first. */
  async close(): Promise<void> {
    this.#previews.close();
    clearInterval(this.#looking);
    clearInterval(this.#sweeping);
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /** What changes, and who is to be told of it, is one step: neither is there without the other. */
  async #change<T>(work: (transaction: Transaction<Tables>, events: ApprovalEvent[]) => Promise<T>): Promise<T> {
    const { store, announce } = this.#services;
    const events: ApprovalEvent[] = [];
    const done = await store.transaction().execute(async (transaction) => {
      const result = await work(transaction, events);
      if (announce !== null) for (const event of events) await announce(transaction, event);
      for (const id of new Set(events.map(({ request }) => request.id))) await numberChange(transaction, id);
      return result;
    });
    for (const event of events) this.events.emit('change', event);
    if (events.length > 0) this.#feed.wake();
    return done;
  }

  #tracked<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
    return work;
  }

  /**
   * Collects the grant for a statement if there is one; else asks for approval and waits as long as its rules say.
   * Never rejects: what fails is a ruling by which nothing runs.
   *
   * @param asked is told which request it waits for
   * @param stop says that it need not wait any more; its reason is a {@link StopWaiting}
   */
  rule(question: Question, asked: (request: ApprovalRequest) => void, stop: AbortSignal): Promise<Ruling> {
    return this.#tracked(this.#rule(question, asked, stop));
  }

  async #rule(question: Question, asked: (request: ApprovalRequest) => void, stop: AbortSignal): Promise<Ruling> {
    try {
      const until = performance.now() + mergedApprovals(question.approvals).waitMs;
      const found = await this.#collectOrAsk(question);
      if ('kind' in found) return found;
      asked(found);
      for (;;) {
        const left = Math.min(until - performance.now(), found.expiresAt - currentTime());
        const changed = this.#nextChange(found.id, left, stop);
        // Looked at after the wait has begun: what is decided in between wakes it.
        const { state, reason } = await this.request(found.id);
        if (state === 'approved') {
          const collected = await this.#collectOrAsk(question);
          if ('kind' in collected) return collected;
          return { kind: 'ticket', request: collected.id };
        }
        if (state === 'rejected' || state === 'expired')
          return { kind: state, request: found.id, reason: reason ?? '' };
        if (state !== 'pending') return { kind: 'ticket', request: found.id };
        if (stop.aborted || performance.now() >= until) break;
        await changed;
        if (isOver(found, currentTime())) await this.#sweep();
      }
      const why = stop.aborted ? WITHDRAWN[stop.reason as StopWaiting] : null;
      if (why === null) return { kind: 'ticket', request: found.id };
      await this.#withdraw(found.id, why);
      return { kind: 'withdrawn', request: found.id };
    } catch (error) {
      this.#services.failed('approval could not be asked for', error as Error);
      return { kind: 'unavailable', reason: (error as Error).message };
    }
  }

  /**
   * @throws VoteRefused with the reason, for whoever wants to vote
   */
  async vote(
    id: number,
    voter: Voter,
    decision: Vote['decision'],
    { reason, channel, unguarded = false, grant }: Ballot,
  ): Promise<ApprovalRequest> {
    if (decision === 'approve' && !unguarded) await this.#countFirst(id, voter, grant);
    const at = currentTime();
    const request = await this.#change(async (transaction, events) => {
      // First, so that of two who vote at once at two nodes the later one sees the other's vote.
      await transaction
        .updateTable('approval_requests')
        .set((eb) => ({ change: eb.ref('change') }))
        .where('id', '=', id)
        .execute();
      const asked = await readRequest(transaction, id);
      const before = decision === 'reject' ? asked : narrowed(asked, grant);
      const refused =
        decision === 'break-glass' ? whyNotBreakGlass(before, voter, reason, at) : whyNotVote(before, voter, at);
      if (refused !== null) throw new VoteRefused(refused);
      if (decision === 'reject' && reason.trim() === '') throw new VoteRefused('Say why: a rejection needs a reason.');
      if (before !== asked) await setReach(transaction, before);
      const cast = voteOf(before, voter, { decision, reason, channel, at });
      await transaction.insertInto('approval_votes').values(rowOfVote(id, cast)).execute();
      const result = resultOf(before.stages, [...before.votes, cast]);
      // The time of a grant for statements of one shape begins with the approval.
      const until = result === 'approved' && before.grantForMs !== null ? at + before.grantForMs : null;
      if (result !== 'pending') await setState(transaction, id, ['pending'], result, reason || null, until);
      const after = await readRequest(transaction, id);
      events.push({ event: 'voted', request: after, vote: cast, grant: before === asked ? null : before.grant });
      if (after.state !== 'pending') events.push({ event: 'decided', request: after });
      return after;
    });
    this.#wake(id);
    return request;
  }

  /** Nobody approves a number of rows that they were not told. @throws NotCounted, VoteRefused */
  async #countFirst(id: number, voter: Voter, grant: Ballot['grant']): Promise<void> {
    const request = narrowed(await this.request(id), grant);
    if (!isUncounted(request)) return;
    const refused = whyNotVote(request, voter, currentTime());
    if (refused !== null) throw new VoteRefused(refused);
    const { impact, ...opened } = narrowed(await this.open(id), grant);
    if (isUncounted({ impact, ...opened })) {
      throw new NotCounted(
        `It could change any number of rows: ${impact === null ? 'they are not counted yet' : 'they could not be counted'}. Look at it again later, or approve it unguarded.`,
      );
    }
    const rows = impact?.rows ?? null;
    throw new NotCounted(
      `Its rows were not counted yet when you approved it.${rows === null ? '' : ` They are ${rows}.`} Approve it again if you still think so.`,
    );
  }

  /** Somebody has looked at what was done by breaking the glass. @throws VoteRefused */
  async review(id: number, reviewer: Identity, note: string): Promise<ApprovalRequest> {
    const request = await this.request(id);
    const broken = request.votes.find(({ decision }) => decision === 'break-glass');
    if (broken === undefined) throw new VoteRefused('There is nothing to review: nobody broke the glass.');
    if (reviewer.kind !== 'human') throw new VoteRefused('Only people review.');
    if (broken.subject === reviewer.subject && broken.issuer === (reviewer.issuer ?? '')) {
      throw new VoteRefused('Somebody else than who broke the glass reviews it.');
    }
    await this.#services.store.transaction().execute(async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('approval_requests')
        .set({ reviewed_by: reviewer.subject, reviewed_at: currentTime(), review: note })
        .where('id', '=', id)
        .where('reviewed_at', 'is', null)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n) throw new VoteRefused('It has been reviewed already.');
      await numberChange(transaction, id);
    });
    this.#feed.wake();
    return this.request(id);
  }

  /** @throws VoteRefused if there is no such request */
  request(id: number): Promise<ApprovalRequest> {
    return readRequest(this.#services.store, id);
  }

  /**
   * For somebody who is about to decide on it: what it would do is found out now where nobody has yet, which takes some seconds at
   * most.
   * @param mostMs how long to wait for it, milliseconds
   * @throws VoteRefused if there is no such request
   */
  async open(id: number, mostMs = OPEN_MS): Promise<ApprovalRequest> {
    const request = await this.request(id);
    if (request.state !== 'pending' || request.impact !== null || this.#services.preview === null) return request;
    const late = new AbortController();
    await Promise.race([
      this.#previews.open(id, request.question.binding.connection),
      sleep(mostMs, undefined, { signal: late.signal, ref: false }).catch(() => undefined),
    ]);
    late.abort();
    return this.request(id);
  }

  /** What became of earlier requests for statements like it; `null` if nothing is known of what is like it. */
  history(request: ApprovalRequest): Promise<History | null> {
    return historyOf(this.#services.store, request, async (id) => (await this.request(id)).votes);
  }

  /** A statement has run by the grant of a request. @param rows that it changed, or returned */
  ran(id: number, rows: number): void {
    const noted = this.#services.store
      .updateTable('approval_requests')
      .set({ changed_rows: rows })
      .where('id', '=', id)
      .execute();
    void this.#tracked(
      noted.catch((error: Error) => this.#services.failed(`rows of request ${id} could not be noted`, error)),
    );
  }

  /** What becomes of finding out what a request would do. */
  previewOf({ id, impact, state }: ApprovalRequest): PreviewState {
    if (impact !== null) return { state: 'made', reason: null };
    if (this.#previews.has(id)) return { state: 'waits', reason: 'It is being looked into, or will be in turn.' };
    if (state !== 'pending') return { state: 'not made', reason: 'It was decided before it was looked into.' };
    const why = this.#services.preview === null ? 'This node asks no databases.' : this.#notMade.get(id);
    return { state: 'not made', reason: why ?? 'Too many waited to be looked into: open it, and it is.' };
  }

  /** The newest first. @param states all if empty */
  async list(states: readonly RequestState[], most: number): Promise<readonly ApprovalRequest[]> {
    let query = this.#services.store.selectFrom('approval_requests').selectAll().orderBy('id', 'desc').limit(most);
    if (states.length > 0) query = query.where('state', 'in', states);
    return withVotes(this.#services.store, await query.execute());
  }

  /** Those that were approved by breaking the glass and that nobody has reviewed; the newest first. */
  async unreviewed(most: number): Promise<readonly ApprovalRequest[]> {
    const { store } = this.#services;
    const rows = await brokenGlass(store).selectAll().orderBy('id', 'desc').limit(most).execute();
    return withVotes(store, rows);
  }

  /** How many, of all nodes, wait for votes, for their statement to be sent again, and for a review. */
  async countOpen(): Promise<{ readonly pending: number; readonly approved: number; readonly unreviewed: number }> {
    const { store } = this.#services;
    const states = await store
      .selectFrom('approval_requests')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .where('state', 'in', ['pending', 'approved'])
      .where('expires_at', '>', currentTime())
      .groupBy('state')
      .execute();
    const reviews = await brokenGlass(store)
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    const inState = (name: RequestState) => Number(states.find(({ state }) => state === name)?.count ?? 0);
    return { pending: inState('pending'), approved: inState('approved'), unreviewed: Number(reviews.count) };
  }

  /** What an identity has asked for on a connection; the newest first. @throws what the store throws */
  requestsOf(
    { issuer = '', subject }: Pick<Identity, 'issuer' | 'subject'>,
    connection: string,
    most: number,
  ): Promise<readonly ApprovalRequest[]> {
    return this.#tracked(
      this.#services.store
        .selectFrom('approval_requests')
        .selectAll()
        .where('requester', '=', hashOfRequester({ issuer, subject, connection }))
        .orderBy('id', 'desc')
        .limit(most)
        .execute()
        .then((rows) => withVotes(this.#services.store, rows)),
    );
  }

  /** Requests as they are made and change, whichever node changes them; see {@link ChangeFeed.read}. */
  changes(since: number | null, stop: AbortSignal, quietMs: number): AsyncGenerator<Told> {
    return this.#feed.read(since, stop, quietMs);
  }

  /** Hands over the right to vote until a time. */
  async delegate(from: Identity, to: Pick<Identity, 'issuer' | 'subject'>, until: number): Promise<void> {
    const row = {
      issuer: from.issuer ?? '',
      subject: from.subject,
      groups: JSON.stringify(from.groups),
      to_issuer: to.issuer ?? '',
      to_subject: to.subject,
      since: currentTime(),
      until,
    };
    await this.#services.store
      .insertInto('approval_delegations')
      .values(row)
      .onConflict((conflict) =>
        conflict
          .columns(['issuer', 'subject', 'to_issuer', 'to_subject'])
          .doUpdateSet({ since: row.since, until, groups: row.groups }),
      )
      .execute();
  }

  /** Those in whose place somebody may vote now. */
  async delegatedTo({ issuer = '', subject }: Identity): Promise<Voter['inPlaceOf']> {
    const at = currentTime();
    const rows = await this.#services.store
      .selectFrom('approval_delegations')
      .selectAll()
      .where('to_issuer', '=', issuer)
      .where('to_subject', '=', subject)
      .where('until', '>', at)
      .where('since', '<=', at + MOST_AHEAD_MS)
      .execute();
    return rows
      .filter((row) => this.#services.ended({ issuer: row.issuer, subject: row.subject }) === null)
      .map((row) => ({ subject: row.subject, groups: JSON.parse(row.groups) as string[] }));
  }

  /** Collects a grant, or finds the request that is open already, or makes one: each in one step. */
  async #collectOrAsk(
    question: Question,
  ): Promise<ApprovalRequest | Extract<Ruling, { kind: 'granted' | 'rejected' | 'expired' }>> {
    const now = currentTime();
    const binding = hashOfBinding(question.binding);
    const shape = hashOfShape(question);
    let asked = null as ApprovalRequest | null;
    const found = await this.#change(async (transaction, events) => {
      // One node at a time: two that ask for the same at once would make two requests of it.
      await transaction
        .updateTable('versions')
        .set((eb) => ({ version: eb.ref('version') }))
        .where('name', '=', 'approval_requests')
        .execute();
      const rows = await transaction
        .selectFrom('approval_requests')
        .selectAll()
        .where('state', 'in', ['pending', 'approved', 'rejected'])
        .where('expires_at', '>', now)
        .where((eb) =>
          eb.or([
            eb('binding', '=', binding),
            eb.and([eb('shape', '=', shape), eb('grant_reach', '=', 'fingerprint')]),
          ]),
        )
        .orderBy('id', 'desc')
        .execute();
      const bound = new Set(rows.filter((row) => row.binding === binding).map(({ id }) => id));
      for (const request of await withVotes(transaction, rows)) {
        const isSame = bound.has(request.id);
        if (isOver(request, now)) continue;
        if (request.state !== 'approved') {
          if (!isSame) continue;
          if (request.state === 'pending') return request;
          // A no stands for as long as a vote was asked for: sending it again asks nobody again.
          return { kind: 'rejected' as const, request: request.id, reason: request.reason ?? '' };
        }
        if (!reaches(request, question, isSame)) continue;
        const gone = request.votes.find((vote) => this.#services.ended(vote) !== null);
        const reason = gone === undefined ? await whyGone(transaction, request.votes, question) : worthless(gone);
        if (reason !== null) {
          await setState(transaction, request.id, ['approved'], 'expired', reason);
          events.push({ event: 'decided', request: await readRequest(transaction, request.id) });
          return { kind: 'expired' as const, request: request.id, reason };
        }
        if (request.grant === 'once' && !(await setState(transaction, request.id, ['approved'], 'used', null)))
          continue;
        const collected = await readRequest(transaction, request.id);
        events.push({ event: 'collected', request: collected, session: question.session });
        return { kind: 'granted' as const, request: request.id, rows: mostRows(request) };
      }
      asked = await insertRequest(transaction, question, { binding, shape, now });
      events.push({ event: 'requested', request: asked });
      return asked;
    });
    if (asked !== null && this.#services.preview !== null) this.#previews.add(asked.id, question.binding.connection);
    return found;
  }

  /** Finds out what would happen, where nobody has yet and it still matters. */
  async #estimate(id: number): Promise<void> {
    try {
      const { question, impact: known, state } = await this.request(id);
      if (known !== null || state !== 'pending') return;
      const impact = await this.#services.preview!(question);
      await this.#change(async (transaction, events) => {
        const { numUpdatedRows } = await transaction
          .updateTable('approval_requests')
          .set({ impact: JSON.stringify(impact) })
          .where('id', '=', id)
          // Another node may have been asked, too: what somebody has seen does not change.
          .where('impact', 'is', null)
          .executeTakeFirstOrThrow();
        if (numUpdatedRows === 1n) events.push({ event: 'estimated', request: await readRequest(transaction, id) });
      });
      this.#notMade.delete(id);
    } catch (error) {
      this.#notMade.set(id, 'Its database could not be asked: open it again later.');
      if (this.#notMade.size > MOST_FAILURES) this.#notMade.delete(this.#notMade.keys().next().value!);
      this.#services.failed(`what request ${id} would do could not be found out`, error as Error);
    }
  }

  async #withdraw(id: number, reason: string): Promise<void> {
    // Another session of the same identity may wait for it as well.
    if ((this.#waiting.get(id)?.size ?? 0) > 0) return;
    await this.#close(id, ['pending'], 'withdrawn', reason);
  }

  /** @returns false if it was in none of the states before */
  #close(id: number, from: readonly RequestState[], state: RequestState, reason: string | null): Promise<boolean> {
    return this.#change(async (transaction, events) => {
      if (!(await setState(transaction, id, from, state, reason))) return false;
      events.push({ event: 'decided', request: await readRequest(transaction, id) });
      return true;
    });
  }

  /** Resolves when the request may have changed, after a time, or when there is no need to wait any more. */
  #nextChange(id: number, ms: number, stop: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const woken = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, woken);
      const done = (): void => {
        clearTimeout(timer);
        stop.removeEventListener('abort', done);
        woken.delete(done);
        if (woken.size === 0 && this.#waiting.get(id) === woken) this.#waiting.delete(id);
        resolve();
      };
      const timer = setTimeout(done, Math.max(ms, 0));
      stop.addEventListener('abort', done);
      woken.add(done);
      if (stop.aborted) done();
    });
  }

  #wake(id: number): void {
    for (const done of [...(this.#waiting.get(id) ?? [])]) done();
  }

  /** Votes may have been taken by another node. */
  async #look(): Promise<void> {
    if (this.#waiting.size === 0) return;
    try {
      const decided = await this.#services.store
        .selectFrom('approval_requests')
        .select('id')
        .where('id', 'in', [...this.#waiting.keys()])
        .where((eb) => eb.or([eb('state', '<>', 'pending'), over(eb, currentTime())]))
        .execute();
      for (const { id } of decided) this.#wake(id);
    } catch (error) {
      this.#services.failed('requests for approval could not be looked at', error as Error);
    }
  }

  /** Closes what nobody has voted on, or collected, in time. */
  async #sweep(): Promise<void> {
    const at = currentTime();
    try {
      const late = await this.#services.store
        .selectFrom('approval_requests')
        .select(['id', 'state', 'expires_at'])
        .where('state', 'in', ['pending', 'approved'])
        .where((eb) => over(eb, at))
        .execute();
      for (const { id, state, expires_at: expiresAt } of late) {
        const inTime = state === 'pending' ? 'Nobody decided in time.' : null;
        const reason = expiresAt > at ? 'The clock was set back: nobody knows how old it is.' : inTime;
        if (await this.#close(id, [state as RequestState], 'expired', reason)) this.#wake(id);
      }
    } catch (error) {
      this.#services.failed('requests whose time is over could not be closed', error as Error);
    }
  }
}

/** The same as {@link isOver}. */
function over(eb: ExpressionBuilder<Tables, 'approval_requests'>, at: number) {
  return eb.or([
    eb('expires_at', '<=', at),
    eb('created_at', '>', at + MOST_AHEAD_MS),
    eb('decided_at', '>', at + MOST_AHEAD_MS),
  ]);
}

/**
 * Why what was approved must not run: who asks, their owner, who voted, or in whose place, may not log in any more, as the store
 * says now: what this node remembers is older. `null` if nobody is gone.
 */
async function whyGone(
  transaction: Transaction<Tables>,
  votes: readonly Vote[],
  { identity }: Question,
): Promise<string | null> {
  const { owner = identity.subject } = identity;
  const gone = await transaction
    .selectFrom('identities')
    .select(['id', 'subject', 'kind'])
    .where('state', '<>', 'active')
    .where((eb) =>
      eb.or([
        eb('id', 'in', [identityId(identity), ...votes.map(identityId)]),
        // Of these only the name is known: whoever vouches for it.
        eb('subject', 'in', [owner, ...votes.flatMap(({ onBehalfOf }) => onBehalfOf)]),
      ]),
    )
    .execute();
  const ids = new Set(gone.map(({ id }) => id));
  const people = new Set(gone.filter(({ kind }) => kind !== 'agent').map(({ subject }) => subject));
  const vote = votes.find((one) => ids.has(identityId(one)) || one.onBehalfOf.some((subject) => people.has(subject)));
  if (vote !== undefined) return worthless(vote);
  const mayNot = ids.has(identityId(identity)) || (identity.owner !== undefined && people.has(identity.owner));
  return mayNot ? `${identity.subject} may not run anything any more.` : null;
}

function worthless({ subject }: Vote): string {
  return `The approval of ${subject} does not count any more.`;
}

/** A request whose approval reaches as far as a vote says. @throws VoteRefused if the rules do not let it */
function narrowed(request: ApprovalRequest, grant: Ballot['grant']): ApprovalRequest {
  if (grant === undefined || grant === request.grant) return request;
  if (!isNarrower(grant, request.grant))
    throw new VoteRefused(`An approval of it reaches no further than ${request.grant}.`);
  return { ...request, grant, grantForMs: null };
}

/** True if the grant covers this statement, sent now. */
function reaches({ grant, question }: ApprovalRequest, asked: Question, isSame: boolean): boolean {
  if (grant === 'session') return isSame && question.session === asked.session;
  return isSame || grant === 'fingerprint';
}

/** The count that the approvers saw, and what the rule lets it exceed that by. */
function mostRows(request: ApprovalRequest): number | null {
  const rows = request.impact?.rows ?? null;
  if (rows === null || whyUnguarded(request) !== null) return null;
  return Math.floor(rows * (1 + request.tolerancePercent / 100));
}

type Connection = Store | Transaction<Tables>;

/**
 * Says that a request has changed. The last thing that a transaction does: whoever has the number has it until the end, so
 * that changes can be read in the order of their numbers, and none comes later with a number below.
 */
async function numberChange(transaction: Transaction<Tables>, id: number): Promise<void> {
  const { version } = await transaction
    .updateTable('versions')
    .set((eb) => ({ version: eb('version', '+', 1) }))
    .where('name', '=', 'approval_changes')
    .returning('version')
    .executeTakeFirstOrThrow();
  await transaction.updateTable('approval_requests').set({ change: version }).where('id', '=', id).execute();
}

/** Requests that were approved by breaking the glass, and not reviewed. */
function brokenGlass(store: Store) {
  return store
    .selectFrom('approval_requests')
    .where('reviewed_at', 'is', null)
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('approval_votes').select('request').where('decision', '=', 'break-glass'),
    );
}

async function newestChange(store: Store): Promise<number> {
  const query = store.selectFrom('versions').select('version').where('name', '=', 'approval_changes');
  return (await query.executeTakeFirstOrThrow()).version;
}

async function readChanges(store: Store, after: number, most: number): Promise<readonly RequestChange[]> {
  const query = store.selectFrom('approval_requests').selectAll().where('change', '>', after).orderBy('change');
  const rows = await query.limit(most).execute();
  const requests = await withVotes(store, rows);
  return rows.map(({ change }, at) => ({ change, request: requests[at]! }));
}

async function insertRequest(
  transaction: Transaction<Tables>,
  question: Question,
  { binding, shape, now }: { binding: string; shape: string; now: number },
): Promise<ApprovalRequest> {
  const { stages, withinMs, grant, grantForMs, tolerancePercent } = mergedApprovals(question.approvals);
  const { version: id } = await transaction
    .updateTable('versions')
    .set((eb) => ({ version: eb('version', '+', 1) }))
    .where('name', '=', 'approval_requests')
    .returning('version')
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto('approval_requests')
    .values({
      id,
      binding,
      shape,
      requester: hashOfRequester(question.binding),
      connection: question.binding.connection,
      fingerprint: question.fingerprint,
      changed_rows: null,
      question: JSON.stringify(question),
      stages: JSON.stringify(stages),
      grant_reach: grant,
      grant_for: grantForMs,
      tolerance: tolerancePercent,
      state: 'pending',
      reason: null,
      created_at: now,
      change: 0,
      expires_at: now + withinMs,
      decided_at: null,
      impact: null,
      reviewed_by: null,
      reviewed_at: null,
      review: null,
      events: 0,
    })
    .execute();
  return readRequest(transaction, id);
}

async function setReach(transaction: Connection, { id, grant, grantForMs }: ApprovalRequest): Promise<void> {
  await transaction
    .updateTable('approval_requests')
    .set({ grant_reach: grant, grant_for: grantForMs })
    .where('id', '=', id)
    .execute();
}

/** @returns false if it was in none of the states before */
async function setState(
  connection: Transaction<Tables>,
  id: number,
  from: readonly RequestState[],
  state: RequestState,
  reason: string | null,
  expiresAt: number | null = null,
): Promise<boolean> {
  const { numUpdatedRows } = await connection
    .updateTable('approval_requests')
    .set({
      state,
      decided_at: currentTime(),
      ...(reason !== null && { reason }),
      ...(expiresAt !== null && { expires_at: expiresAt }),
    })
    .where('id', '=', id)
    .where('state', 'in', from)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

async function readRequest(connection: Connection, id: number): Promise<ApprovalRequest> {
  const rows = await connection.selectFrom('approval_requests').selectAll().where('id', '=', id).execute();
  const [request] = await withVotes(connection, rows);
  if (request === undefined) throw new VoteRefused(`There is no request ${id}.`);
  return request;
}

async function withVotes(
  connection: Connection,
  rows: readonly ApprovalRequestsTable[],
): Promise<readonly ApprovalRequest[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const votes = await connection
    .selectFrom('approval_votes')
    .selectAll()
    .where('request', 'in', ids)
    .orderBy('at')
    .execute();
  return rows.map((row) =>
    requestOf(
      row,
      votes.filter(({ request }) => request === row.id),
    ),
  );
}

function requestOf(row: ApprovalRequestsTable, votes: readonly ApprovalVotesTable[]): ApprovalRequest {
  return {
    id: row.id,
    question: JSON.parse(row.question) as Question,
    stages: JSON.parse(row.stages) as ApprovalRequest['stages'],
    grant: row.grant_reach as ApprovalRequest['grant'],
    grantForMs: row.grant_for,
    tolerancePercent: row.tolerance,
    state: row.state as RequestState,
    reason: row.reason,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
    impact: row.impact === null ? null : (JSON.parse(row.impact) as Impact),
    events: row.events,
    review: row.reviewed_at === null ? null : { by: row.reviewed_by!, at: row.reviewed_at, note: row.review! },
    votes: votes.map((vote) => ({
      issuer: vote.issuer,
      subject: vote.subject,
      groups: JSON.parse(vote.groups) as string[],
      onBehalfOf: JSON.parse(vote.on_behalf_of) as string[],
      isApprover: vote.is_approver === 1,
      decision: vote.decision as Vote['decision'],
      reason: vote.reason,
      channel: vote.channel,
      at: vote.at,
      isUncounted: vote.uncounted === 1,
    })),
  };
}

function rowOfVote(request: number, vote: Vote): ApprovalVotesTable {
  const { issuer, subject, decision, reason, channel, at } = vote;
  return {
    request,
    issuer,
    subject,
    groups: JSON.stringify(vote.groups),
    on_behalf_of: JSON.stringify(vote.onBehalfOf),
    is_approver: vote.isApprover ? 1 : 0,
    decision,
    reason,
    channel,
    at,
    uncounted: vote.isUncounted ? 1 : 0,
  };
}
