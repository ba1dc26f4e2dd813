import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkOAuthBearerEnd, decodeOAuthBearer, encodeOAuthBearerError } from './oauthbearer.ts';
import { ProtocolViolation } from './violation.ts';

describe('the initial response', () => {
  test('has the token, whatever else it says', () => {
    for (const text of [
      'n,,\x01auth=Bearer abc.def-_~+/==\x01\x01',
      'y,,\x01auth=bearer  abc.def-_~+/==\x01\x01',
      'n,,\x01host=db.example\x01port=5432\x01auth=Bearer abc.def-_~+/==\x01\x01',
    ]) {
      assert.equal(decodeOAuthBearer(Buffer.from(text)), 'abc.def-_~+/==');
    }
  });

  test('may ask where to get one', () => {
    assert.equal(decodeOAuthBearer(Buffer.from('n,,\x01auth=\x01\x01')), null);
  });

  const wrong = [
    '',
    'n,,',
    'n,,\x01',
    'n,,\x01\x01',
    'n,,\x01auth=Bearer x\x01',
    'n,,\x01auth=Bearer x',
    'n,,\x01auth=Bearer \x01\x01',
    'n,,\x01auth=Bearer x y\x01\x01',
    'n,,\x01auth=Basic eDp5\x01\x01',
    'n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01',
    'n,,\x01=x\x01auth=Bearer x\x01\x01',
    'n,,\x01auth\x01\x01',
    'n,a=root,\x01auth=Bearer x\x01\x01',
    'p=tls-server-end-point,,\x01auth=Bearer x\x01\x01',
    'n,,\x01auth=Bearer é\x01\x01',
    'n,,\x01auth=Bearer x\0\x01\x01',
  ];
  for (const text of wrong) {
    test(`cannot be ${JSON.stringify(text)}`, () => {
      assert.throws(() => decodeOAuthBearer(Buffer.from(text)), ProtocolViolation);
    });
  }
});

test('an error says where to get a token, and the client may only acknowledge it', () => {
  assert.deepEqual(JSON.parse(encodeOAuthBearerError({ issuer: 'https://idp.example/', scope: 'openid' }).toString()), {
    status: 'invalid_token',
    'openid-configuration': 'https://idp.example/.well-known/openid-configuration',
    scope: 'openid',
  });
  checkOAuthBearerEnd(Buffer.from('\x01'));
  for (const text of ['', '\x01\x01', 'x'])
    assert.throws(() => checkOAuthBearerEnd(Buffer.from(text)), ProtocolViolation);
});
