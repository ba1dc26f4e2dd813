import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  CACHING_SHA2_PASSWORD,
  CachingSha2Client,
  CachingSha2Server,
  cachingSha2Response,
  createCachingSha2Verifier,
  formatCachingSha2Verifier,
  mockCachingSha2Verifier,
  parseCachingSha2Verifier,
} from './caching-sha2-password.ts';
import { authenticateAsClient, CLEAR_PASSWORD, SHA256_PASSWORD } from './client-authentication.ts';
import { CLIENT_ED25519, ed25519PublicKey, ed25519Response } from './client-ed25519.ts';
import {
  createNativeVerifier,
  formatNativeVerifier,
  nativePasswordResponse,
  parseNativeVerifier,
  verifyNativePassword,
} from './native-password.ts';
import { PARSEC, parsecResponse } from './parsec.ts';
import { decodePublicKey, decryptPassword, encodePublicKey, encryptPassword } from './password-channel.ts';
import { ProtocolViolation } from './violation.ts';

const passwords = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((text) => !text.includes('\0') && text.isWellFormed());
const scrambles = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => Buffer.from(bytes));
const scramble = Buffer.from('0123456789abcdefghij', 'latin1');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

describe('mysql_native_password', () => {
  test('has the verifier that PASSWORD() of the documentation gives', () => {
    assert.equal(formatNativeVerifier(createNativeVerifier('mypass')), '*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4');
  });

  test('takes the answer made with the password, and no other', () => {
    fc.assert(
      fc.property(passwords, passwords, scrambles, scrambles, (right, wrong, asked, other) => {
        fc.pre(right !== wrong && !asked.equals(other));
        const verifier = parseNativeVerifier(formatNativeVerifier(createNativeVerifier(right)));
        assert.equal(verifyNativePassword(verifier, asked, nativePasswordResponse(right, asked)), true);
        assert.equal(verifyNativePassword(verifier, asked, nativePasswordResponse(wrong, asked)), false);
        assert.equal(verifyNativePassword(verifier, asked, nativePasswordResponse(right, other)), false);
        assert.equal(verifyNativePassword(verifier, asked, nativePasswordResponse('', asked)), false);
      }),
    );
  });

  test('reads no verifier that is none', () => {
    for (const text of ['', '*', `*${'0'.repeat(39)}`, `*${'0'.repeat(41)}`, `*${'g'.repeat(40)}`]) {
      assert.throws(() => parseNativeVerifier(text), /not a mysql_native_password verifier/);
    }
    assert.throws(() => createNativeVerifier(''), RangeError);
  });
});

describe('caching_sha2_password', () => {
  /** Runs both sides against each other. @returns what the server says in the end, and how it got there */
  async function run(password: string, server: CachingSha2Server, client: CachingSha2Client) {
    let step = server.start(cachingSha2Response(password, scramble));
    let asked = 0;
    while (step.step === 'ask') {
      asked += 1;
      const answer = client.answer(step.data);
      assert.ok(answer);
      step = await server.answer(answer);
    }
    if (step.step === 'accepted' && step.data !== null) assert.equal(client.answer(step.data), null);
    return { outcome: step.step, asked };
  }

  test('asks for the password once, and knows it the next time', async () => {
    const verifier = await createCachingSha2Verifier('pass wörd');
    for (const [channel, at] of [
      ['tls', 'tls'],
      [rsa, 'ask for the key'],
      [rsa, createPublicKey(rsa)],
    ] as const) {
      verifier.fastDigest = null;
      const login = (password: string) =>
        run(
          password,
          new CachingSha2Server(verifier, scramble, channel),
          new CachingSha2Client(password, scramble, at),
        );
      const full = at === 'ask for the key' ? 2 : 1;
      assert.deepEqual(await login('wrong'), { outcome: 'refused', asked: full });
      assert.deepEqual(await login('pass wörd'), { outcome: 'accepted', asked: full });
      assert.deepEqual(await login('pass wörd'), { outcome: 'accepted', asked: 0 });
      assert.deepEqual(await login('wrong'), { outcome: 'refused', asked: full });
      assert.deepEqual(await login('pass wörd'), { outcome: 'accepted', asked: 0 });
    }
  });

  test('refuses an empty password, one that is too long, and what is neither encrypted with the key nor the password', async () => {
    const verifier = await createCachingSha2Verifier('p');
    const started = (channel: 'tls' | typeof rsa) => {
      const server = new CachingSha2Server(verifier, scramble, channel);
      assert.equal(server.start(Buffer.alloc(32)).step, 'ask');
      return server;
    };
    for (const response of [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(31), Buffer.alloc(33)]) {
      assert.equal(new CachingSha2Server(verifier, scramble, 'tls').start(response).step, 'refused');
    }
    for (const payload of ['', '\0', 'p', 'p\0\0', '\0p\0', 'p\0p', `${'p'.repeat(257)}\0`]) {
      assert.equal((await started('tls').answer(Buffer.from(payload))).step, 'refused');
    }
    for (const payload of [
      Buffer.alloc(0),
      Buffer.from('q\0'),
      Buffer.from('p'),
      Buffer.alloc(256),
      randomBytes(256),
    ]) {
      assert.equal((await started(rsa).answer(payload)).step, 'refused');
    }
    assert.equal(verifier.fastDigest, null);
    // MariaDB's Connector/C does so over the loopback interface, where no other is asked without TLS.
    assert.equal((await started(rsa).answer(Buffer.from('p\0'))).step, 'accepted');
  });

  test('is a violation out of its order', async () => {
    const verifier = mockCachingSha2Verifier();
    const server = new CachingSha2Server(verifier, scramble, 'tls');
    await assert.rejects(server.answer(Buffer.from('p\0')), ProtocolViolation);
    const twice = new CachingSha2Server(verifier, scramble, 'tls');
    twice.start(Buffer.alloc(32));
    assert.throws(() => twice.start(Buffer.alloc(32)), ProtocolViolation);
    assert.equal((await twice.answer(Buffer.from('p\0'))).step, 'refused');
    await assert.rejects(twice.answer(Buffer.from('p\0')), ProtocolViolation);
    for (const data of [[], [0], [5], [3, 3]]) {
      const client = new CachingSha2Client('p', scramble, 'tls');
      assert.throws(() => client.answer(Buffer.from(data)), ProtocolViolation);
    }
    const done = new CachingSha2Client('p', scramble, 'tls');
    done.answer(Buffer.from([3]));
    assert.throws(() => done.answer(Buffer.from([4])), ProtocolViolation);
  });

  test('gives no password away where it may not', () => {
    const client = new CachingSha2Client('p', scramble, 'none');
    assert.throws(() => client.answer(Buffer.from([4])), ProtocolViolation);
  });

  test('reads and writes the form that the server keeps, and no other', async () => {
    const verifier = await createCachingSha2Verifier('p');
    assert.match(formatCachingSha2Verifier(verifier), /^\$A\$005\$[!-~]{63}$/);
    assert.deepEqual(parseCachingSha2Verifier(formatCachingSha2Verifier(verifier)), verifier);
    const unprintable = await createCachingSha2Verifier('p', Buffer.from('\x01\x7f456789abcdefghijkl', 'latin1'));
    assert.match(formatCachingSha2Verifier(unprintable), /^0x[0-9A-F]{140}$/);
    assert.deepEqual(parseCachingSha2Verifier(formatCachingSha2Verifier(unprintable)), unprintable);
    const text = formatCachingSha2Verifier(verifier);
    for (const other of [
      '',
      text.slice(1),
      text.slice(0, -1),
      `${text}.`,
      text.replace('005', '004'),
      '0x24',
      '0xzz',
    ]) {
      assert.throws(() => parseCachingSha2Verifier(other), /not a caching_sha2_password verifier/);
    }
    for (const password of ['', 'p\0', 'p'.repeat(257)]) {
      await assert.rejects(createCachingSha2Verifier(password), RangeError);
    }
  });
});

describe('the password in RSA', () => {
  test('is read by the owner of the key, and only with the scramble it was meant for', () => {
    const encrypted = encryptPassword('secret', scramble, decodePublicKey(encodePublicKey(rsa)));
    assert.deepEqual(decryptPassword(encrypted, scramble, rsa), Buffer.from('secret'));
    const other = Buffer.from(scramble).reverse();
    assert.notDeepEqual(decryptPassword(encrypted, other, rsa), Buffer.from('secret'));
  });

  test('needs a key of RSA', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    for (const key of ['', 'nonsense', pem]) assert.throws(() => decodePublicKey(Buffer.from(key)), ProtocolViolation);
  });
});

describe('client_ed25519', () => {
  const random = Buffer.alloc(32, 7);

  test('is Ed25519 with the password in place of the key: the same for a password that is 32 bytes', () => {
    const password = 'exactly thirty-two bytes of text';
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(password)]);
    const expected = sign(null, random, { key: der, format: 'der', type: 'pkcs8' });
    assert.deepEqual(ed25519Response(password, random), expected);
  });

  test('has the public key that MariaDB keeps', () => {
    // MariaDB knowledge base: the account of the password `secret`.
    const stored = ed25519PublicKey('secret').toString('base64').replace('=', '');
    assert.equal(stored, 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY');
  });

  test('is verified by that key, whatever the password', () => {
    fc.assert(
      fc.property(passwords, (password) => {
        const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), ed25519PublicKey(password)]);
        const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
        assert.equal(verify(null, random, key, ed25519Response(password, random)), true);
      }),
      { numRuns: 10 },
    );
  });
});

describe('parsec', () => {
  const random = Buffer.alloc(32, 7);
  const salt = Buffer.concat([Buffer.from('P\x01', 'latin1'), Buffer.alloc(18, 3)]);

  test('signs the random data of both sides with the key made of password and salt', async () => {
    const own = Buffer.alloc(32, 9);
    const answer = await parsecResponse('secret', random, salt, own);
    assert.equal(answer.length, 96);
    assert.deepEqual(answer.subarray(0, 32), own);
    assert.notDeepEqual(await parsecResponse('secret', random, salt), answer);
  });

  test('refuses a salt of another form, and more work than a login may cost', async () => {
    for (const bad of [
      salt.subarray(1),
      Buffer.concat([salt, salt]),
      Buffer.from(salt.map((byte, i) => (i === 0 ? 81 : byte))),
    ]) {
      await assert.rejects(parsecResponse('secret', random, bad), ProtocolViolation);
    }
    const costly = Buffer.from(salt);
    costly[1] = 31;
    await assert.rejects(parsecResponse('secret', random, costly), ProtocolViolation);
  });
});

describe('the client', () => {
  const data = Buffer.concat([scramble, Buffer.alloc(13)]);

  test('does without methods it does not know', () => {
    assert.equal(authenticateAsClient('mysql_old_password', 'p', data, 'tls'), null);
  });

  test('sends a password in clear only inside TLS', () => {
    for (const method of [CLEAR_PASSWORD, SHA256_PASSWORD]) {
      assert.deepEqual(authenticateAsClient(method, 'p', data, 'tls')?.response, Buffer.from('p\0'));
      assert.throws(() => authenticateAsClient(method, 'p', data, 'none'), ProtocolViolation);
    }
    assert.throws(() => authenticateAsClient(CLEAR_PASSWORD, 'p', data, 'ask for the key'), ProtocolViolation);
    assert.throws(() => authenticateAsClient(CLEAR_PASSWORD, 'p', data, createPublicKey(rsa)), ProtocolViolation);
  });

  test('encrypts it for sha256_password, with a key it has or asks for', async () => {
    const asking = authenticateAsClient(SHA256_PASSWORD, 'p', data, 'ask for the key');
    assert.deepEqual(asking?.response, Buffer.from([1]));
    const answer = await asking?.answer(encodePublicKey(rsa));
    assert.deepEqual(decryptPassword(answer!, scramble, rsa), Buffer.from('p'));
    const having = authenticateAsClient(SHA256_PASSWORD, 'p', data, createPublicKey(rsa));
    assert.deepEqual(decryptPassword(having!.response, scramble, rsa), Buffer.from('p'));
  });

  test('needs random data that is long enough, and hears nothing after the end', () => {
    for (const method of ['mysql_native_password', CACHING_SHA2_PASSWORD, CLIENT_ED25519, PARSEC]) {
      assert.throws(() => authenticateAsClient(method, 'p', scramble.subarray(1), 'tls'), ProtocolViolation);
    }
    const native = authenticateAsClient('mysql_native_password', 'p', data, 'tls');
    assert.throws(() => native!.answer(Buffer.from('x')), ProtocolViolation);
  });
});
