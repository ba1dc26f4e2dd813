import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs, {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Journal, JournalError } from './journal.ts';
import { readRecords } from './read-records.ts';
import { segments } from './segments.ts';
import { readJwks } from './signing-key.ts';
import { verifyJournal } from './verify.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-journal-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * Every record in the directory but those that segments begin with and checkpoints; fails if any line is not one, or if a
 * number is missing or there twice.
 */
function records(directory: string): Record<string, unknown>[] {
  const all = segments(directory).flatMap(({ name }) => {
    const text = readFileSync(join(directory, name), 'utf8');
    assert.ok(text === '' || text.endsWith('\n'), `${name} ends with a whole line`);
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  });
  all.forEach((record, i) => {
    assert.equal(record.v, 1);
    assert.equal(record.seq, i + 1);
    assert.ok(!Number.isNaN(Date.parse(record.at as string)));
  });
  return all.filter(({ event }) => event !== 'journal.segment' && event !== 'journal.checkpoint');
}

function events(directory: string): unknown[] {
  return records(directory).map((record) => record.event);
}

/** Has writes fail from now on: after `bytes` more bytes the disk is full. Gives a function that ends it. */
function fillDisk(t: TestContext, bytes: number): () => void {
  const real = fs.writeSync;
  let room = bytes;
  const full = (fd: number, data: Buffer, offset: number, length: number): number => {
    if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const size = Math.min(room, length);
    room -= size;
    return real(fd, data, offset, size);
  };
  const { mock } = t.mock.method(fs, 'writeSync', full as typeof fs.writeSync);
  syncBuiltinESMExports();
  return () => {
    mock.restore();
    syncBuiltinESMExports();
  };
}

const attempt = (n: number): string => `"statement.attempt","n":${n}`;
const outcome = (n: number): string => `"statement.outcome","n":${n}`;

test('each record says when it was, to the millisecond, even if the clock is put back', (t) => {
  const times = [0, 5, 999, 1000, 59_999, 60_000, 1234, 86_399_999].map((ms) => Date.UTC(2026, 0, 31) + ms);
  t.mock.timers.enable({ apis: ['Date'], now: times[0]! });
  const directory = temporary(t);
  const journal = Journal.open(directory);
  for (const time of times) {
    t.mock.timers.setTime(time);
    journal.append('"tick"', true);
  }
  journal.close();
  const said = records(directory).flatMap(({ event, at }) => (event === 'tick' ? [at] : []));
  assert.deepEqual(
    said,
    times.map((time) => new Date(time).toISOString()),
  );
});

test('records are numbered from 1, without gaps, over restarts', (t) => {
  const directory = temporary(t);
  for (let run = 0; run < 3; run++) {
    const journal = Journal.open(directory);
    journal.append(attempt(run), false);
    journal.append(outcome(run), true);
    assert.equal(journal.dirty, true);
    assert.equal(journal.flush(), true);
    assert.equal(journal.dirty, false);
    journal.close();
  }
  assert.deepEqual(events(directory), Array(3).fill(['journal.open', 'statement.attempt', 'statement.outcome']).flat());
});

test('nothing is in the file before the flush, and everything of the batch after it', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  journal.append(attempt(1), false);
  journal.append(attempt(2), false);
  assert.equal(records(directory).length, 1);
  journal.flush();
  assert.equal(records(directory).length, 3);
  journal.close();
});

test('closing writes what is pending', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  journal.append(outcome(1), true);
  journal.close();
  assert.deepEqual(events(directory), ['journal.open', 'statement.outcome']);
});

test('only the owner can read the journal', (t) => {
  const directory = join(temporary(t), 'made', 'by', 'open');
  Journal.open(directory).close();
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const { name } of segments(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600);
});

test('a line torn at any byte is cut off at the next opening, which says so', (t) => {
  const parent = temporary(t);
  const original = join(parent, 'original');
  const journal = Journal.open(original);
  journal.append(attempt(1), false);
  journal.append('"statement.attempt","text":"two\\nlines, ümlaut"', false);
  journal.flush();
  const { name } = segments(original)[0]!;
  const bytes = readFileSync(join(original, name));
  const lastLine = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
  for (let size = lastLine + 1; size < bytes.length; size++) {
    const directory = join(parent, `torn-at-${size}`);
    mkdirSync(directory);
    writeFileSync(join(directory, name), bytes.subarray(0, size));
    Journal.open(directory).close();
    const all = records(directory);
    assert.deepEqual(
      all.map((record) => record.event),
      ['journal.open', 'statement.attempt', 'journal.gap', 'journal.open'],
    );
    assert.equal(all[2]?.bytes, size - lastLine);
  }
});

test('a journal whose lines are all whole is opened without a gap record', (t) => {
  const directory = temporary(t);
  Journal.open(directory).close();
  Journal.open(directory).close();
  assert.deepEqual(events(directory), ['journal.open', 'journal.open']);
});

test('a last line longer than what is read at once is found', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  journal.append(`"statement.attempt","text":"${'x'.repeat(300_000)}"`, false);
  journal.flush();
  Journal.open(directory);
  assert.equal(records(directory).length, 3);
  // And a torn one of that size, behind a whole one of that size.
  const last = segments(directory).at(-1)!.name;
  appendFileSync(join(directory, last), `{"v":1,"seq":6,"text":"${'y'.repeat(300_000)}`);
  Journal.open(directory).close();
  assert.deepEqual(events(directory).slice(2), ['journal.open', 'journal.gap', 'journal.open']);
});

test('segments without a record are passed over when the last number is looked for', (t) => {
  const directory = temporary(t);
  Journal.open(directory).close();
  writeFileSync(join(directory, 'journal-20260101T000000000Z-2.jsonl'), '');
  writeFileSync(join(directory, 'journal-20260101T000000000Z-3.jsonl'), '{"v":1,"se');
  Journal.open(directory).close();
  assert.deepEqual(events(directory), ['journal.open', 'journal.gap', 'journal.open']);
  assert.equal(segments(directory).at(-1)?.number, 4);
});

test('a last line that is whole but no record stops the opening: nobody knows where the numbers go on', (t) => {
  for (const line of ['not JSON\n', '{"v":1}\n', '{"v":1,"seq":"7"}\n', '\0\0\0\0\n']) {
    const directory = temporary(t);
    writeFileSync(join(directory, 'journal-20260101T000000000Z-1.jsonl'), line);
    assert.throws(() => Journal.open(directory), JournalError);
    assert.equal(readFileSync(join(directory, 'journal-20260101T000000000Z-1.jsonl'), 'utf8'), line);
  }
});

test('a directory that cannot be one stops the opening', (t) => {
  const file = join(temporary(t), 'file');
  writeFileSync(file, '');
  assert.throws(() => Journal.open(file), JournalError);
});

test('other files in the directory are left alone', (t) => {
  const directory = temporary(t);
  writeFileSync(join(directory, 'journal-notes.jsonl'), 'mine');
  Journal.open(directory).close();
  assert.equal(readFileSync(join(directory, 'journal-notes.jsonl'), 'utf8'), 'mine');
});

test('a full segment is followed by the next one, and the numbers go on', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  const filler = `"statement.attempt","text":"${'x'.repeat(8 * 1024 * 1024)}"`;
  for (let i = 0; i < 17; i++) {
    journal.append(filler, false);
    journal.flush();
  }
  journal.append(outcome(1), true);
  journal.close();
  const [first, second, ...rest] = segments(directory);
  assert.deepEqual([first?.number, second?.number, rest.length], [1, 2, 0]);
  const lines = readFileSync(join(directory, second!.name), 'utf8').split('\n').slice(0, -1);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { event: string }).event),
    ['journal.segment', 'statement.attempt', 'statement.outcome', 'journal.checkpoint'],
  );
  assert.equal(records(directory).length, 1 + 17 + 1);
  Journal.open(directory).close();
  assert.equal(segments(directory).at(-1)?.number, 3);
});

test('a segment that cannot be followed goes on, and is followed when it can be', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  const { mock } = t.mock.method(fs, 'openSync', () => {
    throw new Error('EMFILE: too many open files, open');
  });
  syncBuiltinESMExports();
  journal.append(`"statement.attempt","text":"${'x'.repeat(130 * 1024 * 1024)}"`, false);
  assert.equal(journal.flush(), true, 'the records are written');
  mock.restore();
  syncBuiltinESMExports();
  assert.equal(segments(directory).length, 1);
  journal.append(outcome(1), true);
  journal.flush();
  assert.equal(segments(directory).length, 2);
  journal.append(outcome(2), true);
  journal.close();
  const last = readFileSync(join(directory, segments(directory).at(-1)!.name), 'utf8');
  assert.deepEqual(
    last
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { event: string }).event),
    ['journal.segment', 'statement.outcome', 'journal.checkpoint'],
  );
});

for (const room of [0, 1, 200, 100_000]) {
  test(`of a batch that fails after ${room} bytes nothing stays in the file`, (t) => {
    const directory = temporary(t);
    const journal = Journal.open(directory);
    const before = readFileSync(join(directory, segments(directory)[0]!.name));
    const freeDisk = fillDisk(t, room);
    for (let i = 0; i < 2000; i++) journal.append(attempt(i), false);
    assert.equal(journal.flush(), false);
    assert.match(journal.failure ?? '', /ENOSPC/);
    assert.equal(journal.counters.failures, 1);
    assert.equal(journal.dirty, false, 'the attempts are dropped: their statements are not forwarded');
    freeDisk();
    assert.deepEqual(readFileSync(join(directory, segments(directory)[0]!.name)), before);
    journal.close();
  });
}

test('what has happened waits for the disk and is written then, with a record that says why it comes late', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  const freeDisk = fillDisk(t, 10);
  journal.append(outcome(1), true);
  journal.append(attempt(2), false);
  assert.equal(journal.flush(), false);
  journal.append(outcome(3), true);
  assert.equal(journal.flush(), false);
  assert.equal(journal.retry(), false);
  freeDisk();
  journal.append(attempt(4), false);
  assert.equal(journal.flush(), true);
  assert.equal(journal.failure, null);
  const all = records(directory);
  assert.deepEqual(
    all.map((record) => record.n ?? record.event),
    ['journal.open', 1, 3, 4, 'journal.gap'],
  );
  assert.match(all[4]?.reason as string, /ENOSPC/);
  assert.deepEqual([all[4]?.failures, all[4]?.lost], [3, 0]);
  journal.append(outcome(5), true);
  journal.close();
  assert.deepEqual(events(directory).slice(5), ['statement.outcome'], 'a gap is said once');
});

test('a retry leaves the failed state as soon as the disk has room, even with nothing to write', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  assert.equal(journal.retry(), true, 'without a failure there is nothing to retry');
  const freeDisk = fillDisk(t, 0);
  journal.append(attempt(1), false);
  assert.equal(journal.flush(), false);
  assert.equal(journal.flush(), false, 'an empty batch does not hide the failure');
  freeDisk();
  assert.equal(journal.retry(), true);
  journal.close();
  assert.deepEqual(events(directory), ['journal.open', 'journal.gap']);
});

test('outcomes beyond what memory may hold are counted, and the gap record says how many', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  const freeDisk = fillDisk(t, 0);
  for (let i = 0; i < 100_007; i++) journal.append(outcome(i), true);
  assert.equal(journal.flush(), false);
  assert.equal(journal.counters.lost, 7);
  journal.append(outcome(0), true);
  assert.equal(journal.flush(), false);
  freeDisk();
  assert.equal(journal.flush(), true);
  journal.close();
  const all = records(directory);
  assert.equal(all.length, 1 + 100_000 + 1);
  assert.equal(all.at(-1)?.lost, 8);
});

test('a process that dies over a full disk leaves a journal that can be opened', (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory);
  // Not even the cutting works: as if the process had died in the middle of the write.
  const { mock } = t.mock.method(fs, 'ftruncateSync', () => {
    throw new Error('EIO');
  });
  const freeDisk = fillDisk(t, 250);
  for (let i = 0; i < 10; i++) journal.append(attempt(i), false);
  assert.equal(journal.flush(), false);
  freeDisk();
  mock.restore();
  syncBuiltinESMExports();
  Journal.open(directory).close();
  assert.deepEqual(events(directory).slice(-2), ['journal.gap', 'journal.open']);
});

test('a disk that is really full refuses, and takes records again when there is room', (t) => {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') {
    t.skip('NOT RUN: mounting a small file system needs root on Linux');
    return;
  }
  const directory = temporary(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'pipe' });
  } catch (error) {
    t.skip(`NOT RUN: this machine does not let root mount: ${(error as Error).message}`);
    return;
  }
  try {
    const ballast = join(directory, 'ballast');
    writeFileSync(ballast, Buffer.alloc(16 * 1024));
    const journal = Journal.open(directory);
    let written = 0;
    while (journal.failure === null) {
      journal.append(`"statement.attempt","n":${written},"text":"${'x'.repeat(997)}"`, false);
      if (journal.flush()) written++;
      assert.ok(written < 100, 'the disk fills');
    }
    assert.match(journal.failure, /ENOSPC/);
    assert.equal(records(directory).length, 1 + written);
    assert.equal(journal.retry(), true, 'a small record fits where a large one did not');
    while (journal.failure === null) {
      journal.append(outcome(written++), true);
      journal.flush();
    }
    assert.equal(journal.retry(), false);
    unlinkSync(ballast);
    assert.equal(journal.retry(), true);
    journal.close();
    const all = records(directory);
    assert.deepEqual([all.at(-2)?.n, all.at(-1)?.event], [written - 1, 'journal.gap']);
  } finally {
    execFileSync('umount', ['--lazy', directory]);
  }
});

/** Waits for the next sync of a journal. */
const synced = (journal: Journal) => new Promise<boolean>((resolve) => journal.sync(resolve));

test('with durability: disk a sync says that what was written is there, over segments', async (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory, { durability: 'disk' });
  const { mock } = t.mock.method(fs, 'fdatasync');
  syncBuiltinESMExports();
  journal.append(attempt(1), false);
  journal.flush();
  assert.equal(await synced(journal), true);
  assert.equal(mock.callCount(), 1);
  journal.append(`"statement.attempt","text":"${'x'.repeat(130 * 1024 * 1024)}"`, false);
  journal.flush();
  assert.equal(segments(directory).length, 2);
  assert.equal(await synced(journal), true);
  assert.equal(mock.callCount(), 3, 'the full segment and the new one');
  journal.close();
  t.mock.restoreAll();
  syncBuiltinESMExports();
});

test('after a sync that failed another segment is begun, and the gap says which attempts were not forwarded', async (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory, { durability: 'disk' });
  journal.append(attempt(1), false);
  journal.flush();
  assert.equal(await synced(journal), true);
  journal.append(attempt(2), false);
  journal.append(outcome(1), true);
  journal.flush();
  t.mock.method(fs, 'fdatasync', (_fd: number, done: (error: Error) => void) => done(new Error('EIO: i/o error')));
  syncBuiltinESMExports();
  const failed = synced(journal);
  assert.equal(await failed, false);
  assert.match(journal.failure ?? '', /EIO/);
  journal.append(outcome(2), true);
  t.mock.restoreAll();
  syncBuiltinESMExports();
  assert.equal(journal.retry(), true);
  assert.equal(journal.failure, null);
  assert.equal(await synced(journal), true);
  journal.close();
  assert.equal(segments(directory).length, 2);
  const gap = records(directory).at(-1)!;
  assert.deepEqual([gap.event, gap.failures, gap.lost], ['journal.gap', 1, 0]);
  const { from, to } = gap.notForwarded as { from: number; to: number };
  const notForwarded = records(directory).filter(({ seq }) => (seq as number) >= from && (seq as number) <= to);
  assert.deepEqual(
    notForwarded.map(({ event, n }) => [event, n]),
    [
      ['statement.attempt', 2],
      ['statement.outcome', 1],
    ],
  );
  const keys = readJwks(join(directory, 'journal.keys.json'))!;
  assert.deepEqual((await verifyJournal(directory, { keys })).findings, []);
});

test('a journal whose directory is gone refuses, and goes on when it is back', async (t) => {
  const directory = temporary(t);
  const journal = Journal.open(directory, { durability: 'disk' });
  t.mock.method(fs, 'fdatasync', (_fd: number, done: (error: Error) => void) => done(new Error('EIO: i/o error')));
  syncBuiltinESMExports();
  rmSync(directory, { recursive: true });
  journal.append(attempt(1), false);
  journal.flush();
  assert.equal(await synced(journal), false);
  t.mock.restoreAll();
  syncBuiltinESMExports();
  assert.equal(journal.retry(), false);
  assert.match(journal.failure ?? '', /ENOENT/);
  mkdirSync(directory);
  assert.equal(journal.retry(), true);
  assert.deepEqual(readFileSync(join(directory, segments(directory)[0]!.name), 'utf8').match(/journal\.[a-z]+/g), [
    'journal.segment',
    'journal.gap',
  ]);
  journal.close();
});

test('the journal is read back as it was written, over segments and restarts', async (t) => {
  const directory = temporary(t);
  for (let run = 0; run < 2; run++) {
    const journal = Journal.open(directory);
    journal.append(attempt(run), false);
    journal.close();
  }
  const last = join(directory, segments(directory).at(-1)!.name);
  truncateSync(last, statSync(last).size - 3);
  const seen: number[] = [];
  const problems: string[] = [];
  await readRecords(directory, {
    record: ({ seq }) => seen.push(seq),
    problem: ({ message }) => problems.push(message),
  });
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(problems.length, 1);
  assert.equal(segments(directory).length, 2);
});

/** What a process has in its lock, read from one that holds it. */
function lockOf(pid: number): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return `${pid} ${boot} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}\n`;
}

test('a second process that would write the same journal is refused, a dead one is not waited for', (t) => {
  const directory = temporary(t);
  const lock = join(directory, 'journal.lock');
  const sleeper = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  try {
    for (const held of [lockOf(sleeper.pid!), `${sleeper.pid}\n`, '']) {
      writeFileSync(lock, held);
      assert.throws(() => Journal.open(directory), /process \d+ writes it|another process is about to write it/);
      assert.equal(readFileSync(lock, 'utf8'), held);
    }
    const [pid, boot, begun] = lockOf(sleeper.pid!).trim().split(' ');
    const stale = [
      `${pid} ${boot} ${Number(begun) - 1}\n`,
      `${pid} ${boot!.replace(/^./, 'x')} ${begun}\n`,
      '999999999\n',
    ];
    for (const held of stale) {
      writeFileSync(lock, held);
      Journal.open(directory).close();
    }
    writeFileSync(lock, '');
    utimesSync(lock, 0, 0);
    Journal.open(directory).close();
  } finally {
    sleeper.kill('SIGKILL');
  }
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith('journal.lock')),
    [],
  );
});

test('a process that takes the lock just before we would keeps it, also where a dead one had it', (t) => {
  const sleeper = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  t.after(() => {
    sleeper.kill('SIGKILL');
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  for (const call of ['writeFileSync', 'renameSync'] as const) {
    const directory = temporary(t);
    const lock = join(directory, 'journal.lock');
    if (call === 'renameSync') writeFileSync(lock, '999999999\n');
    const real = fs[call] as (...given: unknown[]) => unknown;
    t.mock.method(fs, call, (...given: unknown[]) => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
      writeFileSync(lock, lockOf(sleeper.pid!));
      return real(...given);
    });
    syncBuiltinESMExports();
    assert.throws(() => Journal.open(directory), new RegExp(`process ${sleeper.pid} writes it`), call);
    assert.equal(readFileSync(lock, 'utf8'), lockOf(sleeper.pid!));
    assert.deepEqual(readdirSync(directory), ['journal.lock']);
  }
});
