import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScramVerifier, formatScramVerifier } from '../../protocols/postgres/scram.ts';
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
