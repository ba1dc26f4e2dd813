import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRecord } from '../read-records.ts';
import { text } from '../record-fields.ts';
import { draftOf, KnownParts, outcomeOf } from './drafts.ts';
import { LineReader } from './line-reader.ts';

const AT = '2026-01-31T12:00:00.123Z';
const who = { session: 's1', identity: { subject: 'bot', kind: 'agent', groups: ['agents'] }, connection: 'shop' };
const client = { protocol: 'postgres', client: { address: '127.0.0.1:5' } };
const facts = {
  ...{ fingerprint: 'f1', kind: 'SELECT', effects: ['read public.orders (keyed)'], verdict: 'allow', rules: ['reads'] },
  rulesVersion: '5f1d0c2ab9e34a71',
};
const trace = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`;

function attempt(said: string, more: object = {}, first: object = who, between: object = {}): string {
  const fields = { ...first, ...client, statement: 7, via: 'execute', text: said, ...between, ...facts, ...more };
  return line('statement.attempt', fields);
}

function line(event: string, fields: object, prev = ''): string {
  return `{"v":1,"seq":42,${prev}"at":"${AT}","event":"${event}",${JSON.stringify(fields).slice(1)}`;
}

const ATTEMPTS: Readonly<Record<string, string>> = {
  'as most are': attempt('SELECT 1', { binds: ['1'] }),
  'without binds': attempt('SELECT 1'),
  'with a chained hash': line(
    'statement.attempt',
    { ...who, statement: 7, via: 'query', text: 'SELECT 1', ...facts },
    `"prev":"${'A'.repeat(43)}",`,
  ),
  'with masks, shadow and what follows them': attempt('SELECT 1', {
    ...{ shadow: { verdict: 'deny', rules: ['a'] }, masks: ['m'], masked: [2], approval: 9 },
    ...{ claimed: { traceparent: trace }, binds: ['a"b'] },
  }),
  'with a text that looks like the fields behind it': attempt(
    '","fingerprint":"x","rulesVersion":"y","verdict":"deny"',
    {
      binds: ['","claimed":{"traceparent":"x"}'],
    },
  ),
  'with a text that ends with a backslash, and one with a quote': attempt('SELECT \\'),
  'with a text that ends with a quote': attempt('SELECT "a"'),
  'with a text that is not ASCII, or long': attempt(`SELECT 'ä\u2028😀'${'x'.repeat(3000)}`, {}, who, {
    textLength: 9000,
  }),
  'with an empty text': attempt(''),
  'with claims named like fields': attempt('SELECT 1', {
    ...{ claimed: { binds: 'x', approval: '8', verdict: 'deny', traceparent: trace }, binds: ['1'] },
  }),
  'with an identity named like fields': attempt(
    'SELECT 1',
    {},
    {
      ...who,
      identity: {
        subject: 'bot","statement":1,"via":"x","text":"',
        kind: 'agent',
        groups: [],
        more: { a: 1, statement: 3 },
      },
    },
  ),
  'with other fields, in another order': line('statement.attempt', {
    ...facts,
    text: 'SELECT 2',
    statement: 3,
    ...who,
  }),
  'with rules before the version that are named like a field': attempt('SELECT 1', {
    rules: ['a', 'claimed', 'binds'],
  }),
};

for (const [name, record] of Object.entries(ATTEMPTS)) {
  test(`an attempt ${name} is read as the record says`, () => {
    const reader = new LineReader();
    const parsed = parseRecord(record);
    assert.ok(typeof parsed !== 'string');
    const expected = draftOf(parsed, new KnownParts());
    // The second time what is known of it is looked up.
    for (let times = 0; times < 2; times++) {
      const read = reader.read(record)!;
      assert.ok(read.kind !== 'outcome');
      const draft = read.kind === 'attempt' ? read.draft : draftOf(read.record, reader.known);
      assert.deepEqual(draft, expected);
      if (read.kind === 'attempt') assert.deepEqual(read.who.identity, parsed.fields.identity);
    }
  });
}

test('most attempts and outcomes are not parsed whole', () => {
  const reader = new LineReader();
  assert.equal(reader.read(ATTEMPTS['as most are']!)!.kind, 'attempt');
  assert.equal(reader.read(ATTEMPTS['with a text that looks like the fields behind it']!)!.kind, 'attempt');
  const fields = {
    session: 's1',
    statement: 7,
    status: 'error',
    sqlstate: '42501',
    by: 'guard',
    rows: 1,
    bytes: 3,
    ms: 0.25,
  };
  const ok = { session: 's1', statement: 7, status: 'ok', tag: 'UPDATE 3', rows: 1, bytes: 3, ms: 12.345 };
  const { tag: _, ...untagged } = ok;
  for (const one of [
    fields,
    ok,
    untagged,
    { ...ok, warnings: 2 },
    { ...ok, ms: 5 },
    { ...ok, tag: 'A "quoted" \\ one' },
  ]) {
    const read = reader.read(line('statement.outcome', one))!;
    assert.ok(read.kind === 'outcome');
    assert.deepEqual(read.outcome, outcomeOf(one));
    assert.deepEqual([read.session, read.number, read.at, read.seq], ['s1', 7, Date.parse(AT), 42]);
  }
});

test('what differs is told apart, what is the same is one', () => {
  const reader = new LineReader();
  const read = (record: string) => {
    const found = reader.read(record)!;
    assert.ok(found.kind === 'attempt');
    return found.draft;
  };
  const one = read(attempt('SELECT 1'));
  const other = read(attempt('SELECT 2', {}, { ...who, session: 's2' }));
  assert.equal(one.profile, other.profile);
  assert.equal(one.shape, other.shape);
  assert.deepEqual([one.session, other.session], ['s1', 's2']);
  assert.notEqual(read(attempt('SELECT 1', { verdict: 'deny' })).profile, one.profile);
  assert.notEqual(read(attempt('SELECT 1', {}, { ...who, connection: 'stock' })).profile, one.profile);
});

test('a line that is no record is none, and other records are parsed', () => {
  const reader = new LineReader();
  for (const broken of ['', 'x', '{"v":1,"seq":1,"at":"2026","event":"statement.attempt",', '{"v":2,"seq":1}']) {
    assert.equal(reader.read(broken), null);
  }
  const read = reader.read(line('session.end', { ...who, reason: 'client closed' }))!;
  assert.ok(read.kind === 'record');
  assert.equal(text(read.record.fields.reason), 'client closed');
});
