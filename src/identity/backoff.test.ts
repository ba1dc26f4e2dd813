import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Backoff } from './backoff.ts';

let now: number;
let backoff: Backoff;
beforeEach(() => {
  now = 1_000_000;
  backoff = new Backoff(() => now);
});

const failing = (times: number, attempt: (i: number) => { source: string; user: string | null }) => {
  for (let i = 0; i < times; i++) backoff.failed(attempt(i));
};

test('a user whose password is guessed from everywhere is tried ten times, then every ten seconds', () => {
  failing(9, (i) => ({ source: `10.0.0.${i}`, user: 'alice' }));
  assert.equal(backoff.waitFor({ source: '10.0.1.1', user: 'alice' }), 0);
  failing(1, () => ({ source: '10.0.1.1', user: 'alice' }));
  assert.equal(backoff.waitFor({ source: '10.0.2.2', user: 'alice' }), 10_000);
  assert.equal(backoff.waitFor({ source: '10.0.2.2', user: 'bob' }), 0);
  now += 10_000;
  assert.equal(backoff.waitFor({ source: '10.0.2.2', user: 'alice' }), 0);
  failing(1, () => ({ source: '10.0.2.2', user: 'alice' }));
  assert.equal(backoff.waitFor({ source: '10.0.2.2', user: 'alice' }), 10_000);
});

test('a source that tries many users is stopped, and no other source is', () => {
  failing(30, (i) => ({ source: '10.0.0.1', user: `user${i}` }));
  assert.equal(backoff.waitFor({ source: '10.0.0.1', user: 'alice' }), 5_000);
  assert.equal(backoff.waitFor({ source: '10.0.0.1', user: null }), 5_000);
  assert.equal(backoff.waitFor({ source: '10.0.0.2', user: 'alice' }), 0);
});

test('however many fail, all is forgotten as time passes', () => {
  failing(1_000, () => ({ source: '10.0.0.1', user: 'alice' }));
  assert.equal(backoff.waitFor({ source: '10.0.0.1', user: 'alice' }), 10_000);
  now += 150_000;
  failing(9, () => ({ source: '10.0.0.1', user: 'alice' }));
  assert.equal(backoff.waitFor({ source: '10.0.0.1', user: 'alice' }), 0);
});

test('who has logged in from a source is not locked out by others, and cannot be guessed from there either', () => {
  const own = { source: '10.0.0.1', user: 'alice' };
  backoff.succeeded(own);
  failing(100, (i) => ({ source: `10.0.3.${i}`, user: 'alice' }));
  failing(100, (i) => ({ source: '10.0.0.1', user: `user${i}` }));
  assert.equal(backoff.waitFor(own), 0);
  failing(10, () => own);
  assert.equal(backoff.waitFor(own), 10_000);
});

test('a source that good tokens have come from is heard however many of its tokens are not', () => {
  const tokens = { source: '10.0.0.1', user: null };
  failing(30, () => tokens);
  assert.equal(backoff.waitFor(tokens), 5_000);
  now += 5_000;
  backoff.succeeded(tokens);
  failing(100, () => tokens);
  assert.equal(backoff.waitFor(tokens), 0);
});

test('the addresses of one IPv6 network are one source; an IPv4 address is the same inside of IPv6', () => {
  failing(30, (i) => ({ source: `2001:db8:0:7::${i.toString(16)}`, user: `user${i}` }));
  assert.equal(backoff.waitFor({ source: '2001:db8::7:1:2:3:4', user: 'x' }), 5_000);
  assert.equal(backoff.waitFor({ source: '2001:db8::8:1:2:3:4', user: 'x' }), 0);
  failing(30, (i) => ({ source: '::ffff:10.0.0.1', user: `user${i}` }));
  assert.equal(backoff.waitFor({ source: '10.0.0.1', user: 'x' }), 5_000);
});

test('what is remembered is bounded, and the latest stays', () => {
  failing(30_000, (i) => ({ source: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, user: `user${i}` }));
  failing(10, () => ({ source: '10.9.9.9', user: 'alice' }));
  failing(9_000, (i) => ({ source: '10.9.9.9', user: `other${i}` }));
  assert.equal(backoff.waitFor({ source: '10.8.8.8', user: 'alice' }), 10_000);
});
