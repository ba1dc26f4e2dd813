import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { identityId } from '../identity/identity.ts';
import { openStore, type Store } from '../store/store.ts';
import { Approvals, VoteRefused } from './approvals.ts';
import { person, question, TICKET_ONLY } from './test-requests.ts';

/**
 * Votes, delegations, people who are locked, deadlines and restarts in any order: a statement runs once a grant at most, and only
 * if, when it does, two people of the group have said yes, who may, and in time.
 */

const GROUP = ['ann', 'bob', 'cat'];
/** Not asked themselves, and who asks. */
const OTHERS = ['dee', 'eve', 'bot'];
const MINUTE = 60_000;
const WITHIN_MS = 60 * MINUTE;
const STEPS = 60;
const realElapsed = performance.now.bind(performance);

const directory = mkdtempSync(join(tmpdir(), 'sluice-votes-'));
let store: Store;
before(async () => {
  store = await openStore({ kind: 'sqlite', file: join(directory, 'store.db') });
});
afterEach(() => {
  performance.now = realElapsed;
});
after(async () => {
  await store.destroy();
  rmSync(directory, { recursive: true });
});

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const open = () =>
  new Approvals({
    store,
    ended: () => null,
    preview: null,
    announce: null,
    failed: (what, error) => assert.fail(`${what}: ${error.stack}`),
  });

async function setLocked(subject: string, isLocked: boolean): Promise<void> {
  const id = identityId({ subject });
  await store.deleteFrom('identities').where('id', '=', id).execute();
  if (!isLocked) return;
  await store
    .insertInto('identities')
    .values({
      ...{ id, issuer: '', subject, kind: 'human', owner: null, groups: '[]', state: 'locked' },
      ...{ state_reason: null, state_by: null, state_at: null, first_used: null, last_used: null },
      ...{ first_seen: 1, sessions: 0, allowed: 0, denied: 0, held: 0 },
    })
    .execute();
}

async function play(seed: number): Promise<number> {
  const next = numbers(seed);
  const oneOf = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const asked = question(
    { approvals: [{ ...TICKET_ONLY, withinMs: WITHIN_MS, stages: [{ groups: ['dba'], subjects: [], count: 2 }] }] },
    { statement: `DELETE FROM orders -- ${seed}` },
  );
  let approvals = open();
  let passed = 0;
  let ran = 0;
  const locked = new Set<string>();
  const used = new Set<number>();
  /** By request: when it was asked, and whose yes it has: each who is in the group, however it was given, and who gave it. */
  const known = new Map<number, { at: number; no: boolean; yes: { readonly of: string; readonly by: string }[] }>();
  let newest = 0;
  const steps: Record<string, () => Promise<void>> = {
    send: async () => {
      const ruling = await approvals.rule(asked, () => undefined, new AbortController().signal);
      if (ruling.kind === 'ticket') {
        newest = ruling.request;
        if (!known.has(newest)) known.set(newest, { at: passed, no: false, yes: [] });
      }
      if (ruling.kind !== 'granted') return;
      ran++;
      assert.ok(!used.has(ruling.request), 'a grant is used twice');
      used.add(ruling.request);
      const { at, no, yes } = known.get(ruling.request)!;
      assert.ok(!no, 'somebody has said no');
      assert.ok(passed - at < WITHIN_MS, 'its time is over');
      assert.ok(new Set(yes.map(({ of }) => of)).size >= 2, `only ${JSON.stringify(yes)} have said yes`);
      for (const { of, by } of yes) assert.ok(!locked.has(of) && !locked.has(by), `${of} or ${by} is locked`);
    },
    vote: async () => {
      if (newest === 0) return;
      const subject = oneOf([...GROUP, ...OTHERS]);
      const { identity } = person(subject, GROUP.includes(subject) ? ['dba'] : []);
      const decision = next() < 0.96 ? 'approve' : 'reject';
      const voter = {
        identity,
        isApprover: true,
        mayBreakGlass: false,
        inPlaceOf: await approvals.delegatedTo(identity),
      };
      const how = { reason: 'x', channel: 'api' };
      const voted = await approvals.vote(newest, voter, decision, how).catch((error: Error) => error);
      if (voted instanceof Error) {
        assert.ok(voted instanceof VoteRefused, voted.stack);
        return;
      }
      assert.notEqual(subject, 'bot');
      const request = known.get(newest)!;
      if (decision === 'reject') request.no = true;
      else {
        const { onBehalfOf } = voted.votes.find((one) => one.subject === subject)!;
        for (const of of GROUP.includes(subject) ? [subject] : onBehalfOf) {
          assert.ok(!request.yes.some((one) => one.of === of), `${of} counts twice`);
          request.yes.push({ of, by: subject });
        }
      }
    },
    delegate: async () => {
      const from = person(oneOf(GROUP), ['dba']).identity;
      const to = person(oneOf([oneOf(GROUP), ...OTHERS])).identity;
      await approvals.delegate(from, to, Date.now() + passed + (next() < 0.2 ? -1 : 60 * MINUTE));
    },
    lock: async () => {
      const subject = oneOf([...GROUP, ...OTHERS.slice(0, 2)]);
      const isLocked = next() < 0.3;
      if (isLocked) locked.add(subject);
      else locked.delete(subject);
      await setLocked(subject, isLocked);
    },
    wait: async () => {
      passed += oneOf([1, 5, 30]) * MINUTE;
      performance.now = () => realElapsed() + passed;
    },
    restart: async () => {
      await approvals.close();
      approvals = open();
    },
  };
  try {
    for (let step = 0; step < STEPS; step++) {
      const name = oneOf(['send', 'send', 'vote', 'vote', 'vote', 'delegate', 'delegate', 'lock', 'wait', 'restart']);
      await steps[name]!();
    }
  } finally {
    await approvals.close();
    performance.now = realElapsed;
    for (const subject of locked) await setLocked(subject, false);
    await store.deleteFrom('approval_delegations').execute();
  }
  return ran;
}

test('whatever happens in whatever order, a statement runs once a grant, and by the votes of two who may', async () => {
  let ran = 0;
  for (let seed = 1; seed <= 25; seed++) {
    ran += await play(seed).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`, { cause: error });
    });
  }
  assert.ok(ran >= 10, `only ${ran} ran: nothing is proved`);
});
