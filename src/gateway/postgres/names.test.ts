import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { confirmChange, type NameChangeSent, NameTable, undoChange } from './names.ts';

test('a name means what was sent last, before and after the server confirms it', () => {
  const table = new NameTable<string>();
  assert.equal(table.get('s'), null);
  const change = table.change('s', 'a', 1);
  assert.equal(table.get('s'), 'a');
  confirmChange(change);
  assert.equal(table.get('s'), 'a');
});

test('a discarded change gives back what the name meant before', () => {
  const table = new NameTable<string>();
  table.set('s', 'a');
  const closed = table.change('s', null, 1);
  const parsed = table.change('s', 'b', 1);
  undoChange(parsed);
  undoChange(closed);
  assert.equal(table.get('s'), 'a');
});

test('a discarded change under a later one changes what the later one falls back to', () => {
  const table = new NameTable<string>();
  table.set('s', 'a');
  const first = table.change('s', null, 1);
  const second = table.change('s', 'c', 2);
  undoChange(first);
  assert.equal(table.get('s'), 'c');
  undoChange(second);
  assert.equal(table.get('s'), 'a');
});

test('a name is ambiguous while an earlier segment may or may not have replaced what it meant', () => {
  const table = new NameTable<string>();
  table.set('s', 'a');
  const change = table.change('s', 'b', 4);
  assert.equal(table.isAmbiguous('s', 4), false, 'in its own segment a failed change takes the reference with it');
  assert.equal(table.isAmbiguous('s', 5), true);
  assert.equal(table.isAmbiguous('other', 5), false);
  confirmChange(change);
  assert.equal(table.isAmbiguous('s', 5), false);
});

test('a new name is never ambiguous: without its statement the reference fails', () => {
  const table = new NameTable<string>();
  table.change('s', 'a', 1);
  assert.equal(table.isAmbiguous('s', 2), false);
});

test('names whose change is taken back or that are removed mean nothing', () => {
  const table = new NameTable<string>();
  confirmChange(table.change('a', 'x', 1));
  confirmChange(table.change('a', null, 1));
  undoChange(table.change('b', 'y', 1));
  table.set('c', null);
  for (const name of ['a', 'b', 'c']) assert.equal(table.get(name), null);
});

test('clearing forgets settled names, but for the one that is excepted, and keeps those in the balance', () => {
  const table = new NameTable<string>();
  table.set('settled', 'a');
  table.set('', 'unnamed');
  table.change('sent', 'b', 1);
  table.clear('');
  assert.equal(table.get('settled'), null);
  assert.equal(table.get(''), 'unnamed');
  table.clear();
  assert.equal(table.get(''), null);
  assert.equal(table.get('sent'), 'b');
});

type Step =
  | { readonly op: 'parse' | 'close' | 'bind'; readonly name: string; readonly fails: boolean }
  | { readonly op: 'sync' }
  | { readonly op: 'query' }
  | { readonly op: 'answer'; readonly count: number };

/** A message on its way to the server, and what the table was told when it was sent. */
type Message =
  | {
      readonly op: 'change';
      readonly name: string;
      readonly value: number | null;
      readonly fails: boolean;
      readonly sent: NameChangeSent<number>;
    }
  | { readonly op: 'bind'; readonly name: string; readonly believed: number | null; readonly fails: boolean }
  | { readonly op: 'sync' }
  | { readonly op: 'query' };

const NAMES = ['', 's', 't'];

/** Runs a script of client messages against the table and against a model of the server; throws where they disagree. */
function runScript(steps: readonly Step[]): { executed: number; waited: number } {
  const table = new NameTable<number>();
  const server = new Map<string, number>();
  const inFlight: Message[] = [];
  let segment = 1;
  let values = 0;
  /** The server skips to Sync, and no Sync is on its way: what the client sends is dropped. */
  let skipping = false;
  let executed = 0;
  let waited = 0;

  const failed = (message: Message): void => {
    const discarded = [message];
    while (inFlight.length > 0 && inFlight[0]!.op !== 'sync') discarded.push(inFlight.shift()!);
    for (const one of discarded.reverse()) if ('sent' in one) undoChange(one.sent);
    skipping = inFlight.length === 0;
  };
  const answer = (): void => {
    const message = inFlight.shift();
    if (message === undefined || message.op === 'sync') return;
    if (message.op === 'query') {
      server.delete('');
    } else if (message.fails) {
      failed(message);
    } else if (message.op === 'bind') {
      const actual = server.get(message.name);
      if (actual === undefined) {
        failed(message);
        return;
      }
      assert.equal(message.believed, actual, `what the server runs as ${JSON.stringify(message.name)}`);
      executed++;
    } else if (message.value === null) {
      server.delete(message.name);
      confirmChange(message.sent);
    } else if (message.name !== '' && server.has(message.name)) {
      failed(message);
    } else {
      server.set(message.name, message.value);
      confirmChange(message.sent);
    }
  };

  for (const step of steps) {
    if (step.op === 'answer') {
      for (let i = 0; i < step.count; i++) answer();
      continue;
    }
    if (skipping && step.op !== 'sync') continue;
    if (step.op === 'sync' || step.op === 'query') {
      skipping = false;
      inFlight.push(step);
      segment++;
    } else if (step.op === 'bind') {
      if (table.isAmbiguous(step.name, segment)) {
        waited++;
        while (inFlight.length > 0) answer();
        if (skipping) continue;
        assert.equal(table.isAmbiguous(step.name, segment), false, 'nothing is in flight');
      }
      inFlight.push({ op: 'bind', name: step.name, believed: table.get(step.name), fails: step.fails });
    } else {
      const value = step.op === 'parse' ? ++values : null;
      const sent = table.change(step.name, value, segment);
      inFlight.push({ op: 'change', name: step.name, value, fails: step.fails, sent });
    }
  }
  while (inFlight.length > 0) answer();
  for (const [name, value] of server) assert.equal(table.get(name), value, `${JSON.stringify(name)} at the end`);
  // Query drops the unnamed statement without a word; knowing it longer than the server does no harm.
  for (const name of NAMES.slice(1)) assert.equal(table.get(name), server.get(name) ?? null);
  return { executed, waited };
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constantFrom('parse' as const, 'close' as const, 'bind' as const),
      name: fc.constantFrom(...NAMES),
      fails: fc.nat(5).map((n) => n === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('sync' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('query' as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('answer' as const), count: fc.integer({ min: 1, max: 4 }) }) },
);

test('what a name is taken for when it is used is what the server runs, whatever fails in between', () => {
  let executed = 0;
  let waited = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const run = runScript(steps);
      executed += run.executed;
      waited += run.waited;
    }),
    { numRuns: 5000 },
  );
  assert.ok(
    executed > 1000 && waited > 100,
    `the scripts reach what they are for: ${executed} executed, ${waited} waited`,
  );
});
