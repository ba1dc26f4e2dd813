import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { hashOfGroup } from './chain.ts';
import { Journal } from './journal.ts';
import { segments } from './segments.ts';
import { type Jwks, readJwks } from './signing-key.ts';
import { type Finding, type Verification, verifyJournal } from './verify.ts';

/** A journal of three runs, each with several groups, and another node's. */
const parent = mkdtempSync(join(tmpdir(), 'sluice-verify-'));
const original = join(parent, 'original');
const foreign = join(parent, 'foreign');
let keys: Jwks;
let copies = 0;

/** One run of Sluice: groups of one to four records each, and a checkpoint where it says so. */
function run(directory: string, groups: number): void {
  const journal = Journal.open(directory);
  for (let group = 0; group < groups; group++) {
    for (let n = 0; n <= group % 4; n++) journal.append(`"statement.attempt","text":"SELECT ${group}, ${n} ä"`, false);
    journal.flush();
  }
  journal.close();
}

before(() => {
  for (const groups of [5, 1, 6]) run(original, groups);
  for (const groups of [5, 1, 6]) run(foreign, groups);
  keys = readJwks(join(original, 'journal.keys.json'))!;
});
after(() => rmSync(parent, { recursive: true }));

/** The files of the original, by name. */
function files(directory = original): Map<string, Buffer> {
  return new Map(segments(directory).map(({ name }) => [name, readFileSync(join(directory, name))]));
}

function written(contents: ReadonlyMap<string, Buffer>): string {
  const directory = join(parent, `copy-${copies++}`);
  mkdirSync(directory);
  for (const [name, bytes] of contents) writeFileSync(join(directory, name), bytes);
  return directory;
}

async function verified(contents: ReadonlyMap<string, Buffer>, kept: readonly string[] = []): Promise<Verification> {
  const directory = written(contents);
  try {
    return await verifyJournal(directory, { keys, kept });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function linesOf(bytes: Buffer): string[] {
  return bytes.toString('latin1').split('\n').slice(0, -1);
}

function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
}

/** All lines of a journal with where they are. */
function allLines(contents = files()): { name: string; line: number; text: string }[] {
  return [...contents].flatMap(([name, bytes]) => linesOf(bytes).map((text, i) => ({ name, line: i + 1, text })));
}

const checkpoints = () => allLines().flatMap(({ text }) => (text.includes('"journal.checkpoint"') ? [text] : []));

/** True if a finding names the line, or the one behind it, where something is missed. */
function names(findings: readonly Finding[], name: string, line: number): boolean {
  return findings.some((f) => f.file.endsWith(name) && f.line <= line + 1 && f.lastLine >= line - 1);
}

test('what Sluice wrote is found to be in order, over restarts', async () => {
  const result = await verified(files(), checkpoints());
  assert.deepEqual(result.findings, []);
  assert.equal(result.segments, 3);
  assert.equal(result.records, allLines().length);
  assert.deepEqual([result.first, result.last, result.signedTo], [1, result.records, result.records]);
  assert.equal(result.checkpoints, 3);
  assert.equal(result.kept, 3);
});

test('a journal that goes on while it is verified, or was killed, is in order', async () => {
  const directory = join(parent, 'killed');
  const journal = Journal.open(directory);
  journal.append('"statement.attempt","text":"x"', false);
  journal.flush();
  const read = () => verifyJournal(directory, { keys: readJwks(join(directory, 'journal.keys.json'))! });
  const kinds = async () => (await read()).findings.map(({ kind }) => kind);
  const copy = { keys: readJwks(join(directory, 'journal.keys.json'))!, isCopyOfRunning: true };
  assert.deepEqual((await verifyJournal(directory, copy)).findings, []);
  // Nobody closes it; the next one cuts off what is torn.
  const { name } = segments(directory)[0]!;
  writeFileSync(join(directory, name), '{"v":1,"se', { flag: 'a' });
  assert.deepEqual((await verifyJournal(directory, copy)).findings, []);
  assert.deepEqual(await kinds(), ['torn', 'not signed']);
  run(directory, 3);
  assert.deepEqual(await kinds(), []);
});

test('a byte that is changed anywhere is found, and the place named', async () => {
  const contents = files();
  const all = [...contents].flatMap(([name, bytes]) =>
    Array.from({ length: bytes.length }, (_, at) => [name, at] as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...all), fc.integer({ min: 1, max: 255 }), async ([name, at], change) => {
      const bytes = Buffer.from(contents.get(name)!);
      bytes[at] = bytes[at]! ^ change;
      const { findings } = await verified(new Map([...contents, [name, bytes]]));
      assert.notEqual(findings.length, 0);
      // Of the group that was changed, or of what has its hash: a group has at most four lines.
      const line = linesOf(contents.get(name)!.subarray(0, at + 1)).length + 1;
      assert.ok(
        findings.some((f) => (f.line - 5 <= line && line <= f.lastLine + 5) || f.line === 1),
        JSON.stringify({ findings, name, line }),
      );
    }),
    { numRuns: 300 },
  );
});

test('a line that is taken out, doubled, moved or put in is found, and the place named', async () => {
  const contents = files();
  const lines = allLines(contents);
  const place = fc.nat({ max: lines.length - 1 });
  await fc.assert(
    fc.asyncProperty(place, place, fc.constantFrom('delete', 'double', 'swap', 'insert'), async (a, b, deed) => {
      const { name, line } = lines[a]!;
      const changed = new Map([...contents].map(([file, bytes]) => [file, linesOf(bytes)]));
      const there = changed.get(name)!;
      const isLast = a === lines.length - 1;
      if (deed === 'delete') {
        // Nobody can tell the end from what was cut off, but who kept a checkpoint.
        fc.pre(!isLast);
        there.splice(line - 1, 1);
      } else if (deed === 'double') there.splice(line, 0, there[line - 1]!);
      else if (deed === 'insert') {
        // Before itself it is doubled, which is found one line further down.
        fc.pre(b !== a + 1);
        there.splice(line, 0, lines[b]!.text);
      } else {
        fc.pre(a !== b);
        const other = lines[b]!;
        const [from, to] = [there[line - 1]!, changed.get(other.name)![other.line - 1]!];
        there[line - 1] = to;
        changed.get(other.name)![other.line - 1] = from;
      }
      const { findings } = await verified(new Map([...changed].map(([file, text]) => [file, bytesOf(text)])));
      assert.ok(
        names(findings, name, line) || findings.some((f) => f.line === 1 && line === there.length + 1),
        JSON.stringify({ deed, name, line, findings }),
      );
    }),
    { numRuns: 300 },
  );
});

test('several deeds together are found', async () => {
  const contents = files();
  const count = allLines(contents).length;
  const deed = fc.record({ at: fc.nat({ max: count - 2 }), what: fc.constantFrom('delete', 'double', 'edit') });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(deed, { minLength: 1, maxLength: 6, selector: ({ at }) => at }), async (deeds) => {
      const lines: (string | null)[] = allLines(contents).map(({ text }) => text);
      const sizes = [...contents.values()].map((bytes) => linesOf(bytes).length);
      for (const { at, what } of deeds) {
        if (what === 'delete') lines[at] = null;
        else if (what === 'double') lines[at] = `${lines[at]}\n${lines[at]}`;
        else lines[at] = `${lines[at]!.slice(0, -1)} }`;
      }
      let from = 0;
      const changed = new Map(
        [...contents.keys()].map((name, i) => {
          const part = lines.slice(from, from + sizes[i]!).filter((line) => line !== null);
          from += sizes[i]!;
          return [name, bytesOf(part)] as const;
        }),
      );
      assert.notEqual((await verified(changed)).findings.length, 0);
    }),
    { numRuns: 100 },
  );
});

test('an end that is cut off at any byte is found by a checkpoint that was kept elsewhere', async () => {
  const contents = files();
  const names = [...contents.keys()];
  const [last] = checkpoints().slice(-1);
  const sizes = names.map((name) => contents.get(name)!.length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: total - 1 }), async (end) => {
      let left = end;
      const changed = new Map<string, Buffer>();
      for (const name of names) {
        if (left > 0) changed.set(name, contents.get(name)!.subarray(0, left));
        left -= contents.get(name)!.length;
      }
      const { findings } = await verified(changed, [last!]);
      assert.ok(
        findings.some(({ kind }) => kind === 'cut' || kind === 'torn' || kind === 'missing'),
        JSON.stringify(findings),
      );
      if (changed.size > 0) assert.ok(findings.some(({ kind }) => kind === 'cut' || kind === 'torn'));
    }),
    { numRuns: 100 },
  );
});

test('a segment that is missing, in the place of another, or of another node is found', async () => {
  const contents = files();
  const [first, second, third] = [...contents.keys()] as [string, string, string];
  const others = [...files(foreign).values()] as [Buffer, Buffer, Buffer];
  const cases: [string, Map<string, Buffer>, Finding['kind'], string][] = [
    ['the first is missing', new Map([...contents].slice(1)), 'missing', second],
    ['the second is missing', new Map([...contents].filter(([name]) => name !== second)), 'missing', third],
    [
      'two have changed their places',
      new Map([...contents, [second, contents.get(third)!], [third, contents.get(second)!]]),
      'order',
      second,
    ],
    [
      'one is there twice',
      new Map([...contents, [third.replace('-3.', '-4.'), contents.get(third)!]]),
      'order',
      '-4.jsonl',
    ],
    ["another node's second", new Map([...contents, [second, others[1]]]), 'foreign', second],
    ["another node's third", new Map([...contents, [third, others[2]]]), 'unknown key', third],
    ["another node's first", new Map([...contents, [first, others[0]]]), 'unknown key', first],
  ];
  for (const [what, changed, kind, name] of cases) {
    const { findings } = await verified(changed);
    assert.ok(
      findings.some((f) => f.kind === kind && f.file.endsWith(name)),
      `${what}: ${JSON.stringify(findings)}`,
    );
  }
});

test('who makes the chain anew without the key is found by the signatures', async () => {
  const contents = files();
  let head = 'A'.repeat(43);
  const forged = new Map<string, Buffer>();
  for (const [name, bytes] of contents) {
    const groups: string[][] = [];
    for (const line of linesOf(bytes)) {
      if (/^\{"v":1,"seq":\d+,"prev"/.test(line)) groups.push([]);
      groups.at(-1)!.push(line.replace('SELECT 2', 'SELECT 9'));
    }
    const text = groups.map((group) => {
      const again = bytesOf([group[0]!.replace(/"prev":"[^"]*"/, `"prev":"${head}"`), ...group.slice(1)]);
      head = hashOfGroup(again);
      return again;
    });
    forged.set(name, Buffer.concat(text));
  }
  const { findings } = await verified(forged);
  assert.deepEqual([...new Set(findings.map(({ kind }) => kind))], ['bad signature']);
  assert.equal(findings.length, 3);
});

test('who leaves the checkpoints out and makes the chain anew is found by their absence', async () => {
  let head = 'A'.repeat(43);
  let seq = 0;
  const at = (n: number) => new Date(Date.UTC(2026, 0, 1) + n * 400).toISOString();
  const group = (fields: string): string => {
    seq++;
    const line = `{"v":1,"seq":${seq},"prev":"${head}","at":"${at(seq)}","event":${fields}}\n`;
    head = hashOfGroup(Buffer.from(line));
    return line;
  };
  const node = '00000000-0000-4000-8000-000000000000';
  const text =
    group(`"journal.segment","node":"${node}","segment":1`) +
    Array.from({ length: 60 }, () => group('"statement.attempt","text":"forged"')).join('');
  const { findings } = await verified(new Map([['journal-20260101T000000000Z-1.jsonl', Buffer.from(text)]]));
  assert.deepEqual(
    findings.map(({ kind, line }) => [kind, line]),
    [['not signed', 2]],
  );
});

test('segments that a record says were removed are not missed, others are', async () => {
  const directory = join(parent, 'retention');
  for (const groups of [2, 2]) run(directory, groups);
  const [oldest] = segments(directory) as [{ name: string; number: number }];
  const last = JSON.parse(linesOf(readFileSync(join(directory, oldest.name))).at(-1)!) as { seq: number };
  const journal = Journal.open(directory);
  journal.append(
    `"journal.removed","segment":1,"file":"${oldest.name}","firstSeq":1,"lastSeq":${last.seq},"reason":"age"`,
    true,
  );
  journal.close();
  rmSync(join(directory, oldest.name));
  const own = readJwks(join(directory, 'journal.keys.json'))!;
  assert.deepEqual((await verifyJournal(directory, { keys: own })).findings, []);
  rmSync(join(directory, segments(directory)[0]!.name));
  const { findings } = await verifyJournal(directory, { keys: own });
  assert.deepEqual(
    findings.map(({ kind, line }) => [kind, line]),
    [['missing', 1]],
  );
});

test('a kept checkpoint with a bad signature proves nothing, and is told', async () => {
  const [last] = checkpoints().slice(-1);
  const { findings, kept } = await verified(files(), [last!.replace(/"signature":"./, '"signature":"_')]);
  assert.equal(kept, 0);
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ['bad signature'],
  );
  assert.deepEqual(
    (await verified(files(foreign), [last!])).findings.filter(({ kind }) => kind === 'cut'),
    [],
  );
});
