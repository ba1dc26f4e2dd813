import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Approvals } from '../src/approvals/approvals.ts';
import type { Impact } from '../src/approvals/impact.ts';
import type { ApprovalRequest } from '../src/approvals/request.ts';
import type { StoreConfig } from '../src/config/config.ts';
import { openStore, type Store } from '../src/store/store.ts';
import { until } from './until.ts';

/** A person in the group `dba` who votes at another node: through the store. */
export class Approver {
  readonly store: Store;
  readonly approvals: Approvals;
  /** The newest request that a test has had. */
  #seen = 0;

  private constructor(store: Store) {
    this.store = store;
    this.approvals = new Approvals({
      store,
      ended: () => null,
      preview: null,
      announce: null,
      failed: (what, error) => assert.fail(`${what}: ${error.message}`),
    });
  }

  static async open(storeFile: string): Promise<Approver> {
    return Approver.openAt({ kind: 'sqlite', file: storeFile });
  }

  static async openAt(store: StoreConfig): Promise<Approver> {
    return new Approver(await openStore(store));
  }

  async close(): Promise<void> {
    await this.approvals.close();
    await this.store.destroy();
  }

  /** From now on only newer requests count. */
  async forget(): Promise<void> {
    this.#seen = (await this.approvals.list([], 1))[0]?.id ?? 0;
  }

  /** The request that is asked next. */
  async nextRequest(): Promise<ApprovalRequest> {
    return until(async () => {
      const [newest] = await this.approvals.list([], 1);
      if (newest === undefined || newest.id <= this.#seen) return null;
      this.#seen = newest.id;
      return newest;
    }, 'nobody asks for approval');
  }

  /** The newest request about a statement with these words in it, as soon as there is one. @param after only newer ones */
  async requestFor(words: string, after = 0): Promise<ApprovalRequest> {
    const id = await until(async () => {
      const [row] = await this.store
        .selectFrom('approval_requests')
        .select('id')
        .where('question', 'like', `%${words}%`)
        .where('id', '>', after)
        .orderBy('id', 'desc')
        .limit(1)
        .execute();
      return row?.id;
    }, `nobody asks for approval of ${words}`);
    return this.approvals.request(id);
  }

  /** True if nobody has asked since. */
  async hasSeenAll(): Promise<boolean> {
    return ((await this.approvals.list([], 1))[0]?.id ?? 0) <= this.#seen;
  }

  async approve(id: number, subject = 'dana'): Promise<void> {
    await this.#vote(id, subject, 'approve', '');
  }

  async reject(id: number, reason: string): Promise<void> {
    await this.#vote(id, 'dana', 'reject', reason);
  }

  #vote(id: number, subject: string, decision: 'approve' | 'reject', reason: string): Promise<ApprovalRequest> {
    const identity = { subject, kind: 'human' as const, groups: ['dba'] };
    const voter = { identity, isApprover: true, mayBreakGlass: false, inPlaceOf: [] };
    // This node asks no databases, and would wait for the count.
    return this.approvals.vote(id, voter, decision, { reason, channel: 'api', unguarded: true });
  }

  /** What was found out about it, as soon as it is. */
  async impact(id: number): Promise<Impact> {
    return until(async () => (await this.approvals.request(id)).impact, 'nothing was found out');
  }

  /** As if so many rows had been counted. */
  async counted(id: number, rows: number): Promise<void> {
    await this.impact(id);
    const impact = { rows, estimatedRows: null, cascades: [], triggers: [], gaps: [] };
    await this.store
      .updateTable('approval_requests')
      .set({ impact: JSON.stringify(impact) })
      .where('id', '=', id)
      .execute();
  }

  /** As if its time were over. */
  async endNow(id: number): Promise<void> {
    await this.store.updateTable('approval_requests').set({ expires_at: Date.now() }).where('id', '=', id).execute();
  }

  /** Waits until the request is not pending any more. */
  async stateOf(id: number): Promise<ApprovalRequest['state']> {
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline) {
      const { state } = await this.approvals.request(id);
      if (state !== 'pending') return state;
      await sleep(20);
    }
    return 'pending';
  }
}
