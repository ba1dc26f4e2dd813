import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createScramVerifier, formatScramVerifier, type ScramVerifier } from '../../protocols/postgres/scram.ts';
import { Users } from './users.ts';

test('a user is found by exactly its name, with its identity and verifier', async () => {
  const verifier = await createScramVerifier('correct horse');
  const scram = formatScramVerifier(verifier);
  const users = new Users([{ name: 'alice', kind: 'human', groups: ['dba'], scram }]);
  assert.deepEqual(users.find('alice'), {
    authenticated: { identity: { subject: 'alice', kind: 'human', groups: ['dba'] }, expiresAt: null },
    scram: verifier,
    cachingSha2: null,
    native: null,
    certificates: null,
  });
  for (const name of ['Alice', 'alice ', '', '__proto__']) assert.equal(users.find(name), null);
});

test('whoever answers for a user is in its identity', async () => {
  const scram = formatScramVerifier(await createScramVerifier('x'));
  const users = new Users([{ name: 'bot', kind: 'agent', groups: [], owner: 'alice', scram }]);
  assert.equal(users.find('bot')!.authenticated.identity.owner, 'alice');
});

test('a verifier that cannot be read and a name given twice are refused', async () => {
  const scram = formatScramVerifier(await createScramVerifier('x'));
  const alice = { name: 'alice', kind: 'human', groups: [], scram } as const;
  assert.throws(() => new Users([{ ...alice, scram: 'nonsense' }]), /not a SCRAM verifier/);
  assert.throws(() => new Users([alice, alice]), /"alice" is there twice/);
});

test('a name that nobody has is asked as a user is, the same after a restart', async () => {
  const of = async (name: string, iterations: number, saltBytes: number) => ({
    ...{ name, kind: 'human' as const, groups: [] },
    scram: formatScramVerifier(await createScramVerifier(name, iterations, randomBytes(saltBytes))),
  });
  const config = [await of('alice', 10_000, 24), await of('bob', 6_000, 16)];
  const shape = ({ iterations, salt }: ScramVerifier) => `${iterations} ${salt.length}`;
  const names = Array.from({ length: 30 }, (_, n) => `ghost${n}`);
  const users = new Users(config);
  assert.deepEqual(new Set(names.map((name) => shape(users.mockScram(name)))), new Set(['10000 24', '6000 16']));
  const restarted = new Users(config);
  for (const name of names) assert.deepEqual(restarted.mockScram(name), users.mockScram(name));
  // Of other verifiers there are other salts: they cannot be reckoned from what is public.
  const others = new Users([await of('alice', 10_000, 24)]);
  assert.notDeepEqual(others.mockScram('ghost1').salt, users.mockScram('ghost1').salt);
});
