import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep, setImmediate as turnEnds } from 'node:timers/promises';
import type { Journal } from '../recording/journal.ts';
import { Turn, type TurnMember } from './turn.ts';

/** A journal that only says what it was asked. */
function fakeJournal(said: string[], works: () => boolean) {
  return {
    durability: 'process' as 'process' | 'disk',
    synced: (_isOnDisk: boolean): void => assert.fail('there was no sync'),
    sync(done: (isOnDisk: boolean) => void) {
      said.push('sync');
      this.synced = done;
    },
    /** Records of what has happened are there; of what is about to happen. */
    dirty: false,
    isAwaited: false,
    failure: null as string | null,
    flush() {
      said.push('flush');
      this.dirty = !works();
      this.isAwaited = false;
      return works();
    },
    attempt() {
      this.dirty = true;
      this.isAwaited = true;
    },
  };
}

function member(name: string, said: string[], onRelease: () => void = () => undefined): TurnMember {
  return {
    takeIn: () => said.push(`${name} reads`),
    beforeFlush: () => said.push(`${name} before`),
    release: () => {
      said.push(`${name} release`);
      onRelease();
    },
    unrecorded: () => said.push(`${name} unrecorded`),
    needsDisk: true,
    awaitDisk: () => said.push(`${name} waits`),
    onDisk: () => said.push(`${name} on disk`),
    notOnDisk: () => said.push(`${name} not on disk`),
  };
}

function turnWith(works: () => boolean) {
  const said: string[] = [];
  const journal = fakeJournal(said, works);
  return { said, journal, turn: new Turn(journal as unknown as Journal) };
}

test('everything of a turn is recorded in one write before anything of it is sent', async () => {
  const { said, journal, turn } = turnWith(() => true);
  journal.attempt();
  turn.join(member('a', said));
  turn.join(member('b', said));
  assert.deepEqual(said, [], 'nothing happens inside the turn');
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'b reads', 'a before', 'b before', 'flush', 'a release', 'b release']);
});

test('records made at the last moment are in the same write', async () => {
  const { said, journal, turn } = turnWith(() => true);
  turn.join({
    ...member('a', said),
    beforeFlush: () => {
      journal.attempt();
    },
  });
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'flush', 'a release']);
});

test('what could not be recorded is not sent', async () => {
  const { said, journal, turn } = turnWith(() => false);
  journal.attempt();
  turn.join(member('a', said));
  turn.join(member('b', said));
  await turnEnds();
  assert.deepEqual(said.slice(4), ['flush', 'a unrecorded', 'b unrecorded']);
});

test('without records nothing is written', async () => {
  const { said, turn } = turnWith(() => true);
  turn.join(member('a', said));
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'a before', 'a release']);
});

test('who joins while others read is in the same turn', async () => {
  const { said, turn } = turnWith(() => true);
  turn.join({ ...member('a', said), takeIn: () => turn.join(member('b', said)) });
  await turnEnds();
  assert.deepEqual(said, ['b reads', 'a before', 'b before', 'a release', 'b release']);
});

test('records of what has happened are written soon, by one write for all of them', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { said, journal, turn } = turnWith(() => true);
  journal.dirty = true;
  turn.wake();
  turn.wake();
  await turnEnds();
  assert.deepEqual(said, [], 'they wait for company');
  t.mock.timers.tick(50);
  assert.deepEqual(said, ['flush']);
});

test('records of what has happened go out with the attempts of a turn', async () => {
  const { said, journal, turn } = turnWith(() => true);
  journal.attempt();
  turn.wake();
  turn.join(member('a', said));
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'a before', 'flush', 'a release']);
});

test('a turn in which nothing is attempted leaves records for the next one, or for a moment later', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { said, journal, turn } = turnWith(() => true);
  journal.dirty = true;
  turn.join(member('a', said));
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'a before', 'a release']);
  t.mock.timers.tick(50);
  assert.equal(said.at(-1), 'flush');
});

test('records made while a turn ends are written soon after it', async () => {
  const { said, journal, turn } = turnWith(() => true);
  turn.join(
    member('a', said, () => {
      journal.dirty = true;
      turn.wake();
    }),
  );
  await sleep(50);
  assert.deepEqual(said, ['a reads', 'a before', 'a release', 'flush']);
});

test('a member that joins while the turn ends is in the next one', async () => {
  const { said, turn } = turnWith(() => true);
  turn.join(member('a', said, () => turn.join(member('b', said))));
  await turnEnds();
  assert.deepEqual(said, ['a reads', 'a before', 'a release']);
  await turnEnds();
  assert.deepEqual(said.slice(3), ['b reads', 'b before', 'b release']);
});

/** A turn whose journal syncs, and what was said after its members have read and written. */
function turnOnDisk() {
  const { said, journal, turn } = turnWith(() => true);
  journal.durability = 'disk';
  const attempt = async (name: string) => {
    journal.attempt();
    turn.join(member(name, said));
    await turnEnds();
  };
  const since = () => said.splice(0).filter((text) => !/reads|before/.test(text));
  return { said, journal, turn, attempt, since };
}

test('with durability: disk what is attempted waits for one sync; later turns share the next', async () => {
  const { journal, attempt, since } = turnOnDisk();
  await attempt('a');
  assert.deepEqual(since(), ['flush', 'a waits', 'sync']);
  await attempt('b');
  await attempt('c');
  assert.deepEqual(since(), ['flush', 'b waits', 'flush', 'c waits']);
  journal.synced(true);
  assert.deepEqual(since(), ['a on disk', 'sync']);
  journal.synced(true);
  assert.deepEqual(since(), ['b on disk', 'c on disk']);
});

test('who has attempted nothing does not wait for the disk', async () => {
  const { said, turn, attempt, since } = turnOnDisk();
  await attempt('a');
  since();
  turn.join({ ...member('b', said), needsDisk: false });
  await turnEnds();
  assert.deepEqual(since(), ['b release']);
});

test('if a sync fails nobody is released: those who waited for it, for the next one, and whoever is in the middle of a turn', async () => {
  const { said, journal, turn, attempt, since } = turnOnDisk();
  await attempt('a');
  await attempt('b');
  since();
  turn.join(member('c', said));
  journal.failure = 'EIO';
  journal.synced(false);
  assert.deepEqual(since(), ['a not on disk', 'b not on disk']);
  await turnEnds();
  assert.deepEqual(since(), ['c unrecorded']);
});
