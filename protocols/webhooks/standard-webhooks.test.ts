import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { parseWebhookSecret, signWebhook, verifyWebhook, type WebhookHeaders } from './standard-webhooks.ts';

const newSecret = (bytes = 32): string => `whsec_${randomBytes(bytes).toString('base64')}`;
const OLD = newSecret();
const NEW = newSecret();
const BODY = '{"type":"approval.requested","ü":"\\u0000 ✓"}';

function signed(texts: readonly [string, ...string[]], at = Date.now(), body: string | Uint8Array = BODY) {
  const [first, ...more] = texts.map(parseWebhookSecret);
  return signWebhook([first!, ...more], { id: 'msg_17', at, body });
}

const accepted = (text: string, headers: WebhookHeaders, body = BODY): boolean => {
  try {
    new Webhook(text).verify(body, { ...headers });
    return true;
  } catch {
    return false;
  }
};

test('the reference library accepts what is signed here, and nothing that was changed', () => {
  const headers = signed([NEW]);
  assert.ok(accepted(NEW, headers));
  assert.ok(!accepted(OLD, headers));
  assert.ok(!accepted(NEW, headers, `${BODY} `));
  assert.ok(!accepted(NEW, { ...headers, 'webhook-id': 'msg_18' }));
  assert.ok(!accepted(NEW, { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) }));
});

test('what the reference library signs is accepted here', () => {
  const at = new Date();
  const headers = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(NEW).sign('msg_1', at, BODY),
  };
  const secrets = [parseWebhookSecret(NEW)];
  assert.ok(verifyWebhook(secrets, headers, BODY));
  assert.ok(verifyWebhook(secrets, headers, Buffer.from(BODY)));
  assert.ok(!verifyWebhook(secrets, headers, `${BODY} `));
  assert.ok(!verifyWebhook(secrets, { ...headers, 'webhook-id': 'msg_2' }, BODY));
  assert.ok(!verifyWebhook([parseWebhookSecret(OLD)], headers, BODY));
  assert.ok(!verifyWebhook([], headers, BODY));
});

test('the published example has the published signature', () => {
  // From the specification's own libraries' tests.
  const secret = parseWebhookSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  const headers = signWebhook([secret], {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    at: 1614265330_000,
    body: '{"test": 2432232314}',
  });
  assert.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('while secrets are changed, receivers with the old one and with the new one accept', () => {
  const headers = signed([NEW, OLD]);
  assert.ok(accepted(NEW, headers) && accepted(OLD, headers));
  assert.ok(verifyWebhook([parseWebhookSecret(OLD)], { ...headers }, BODY));
  assert.ok(verifyWebhook([parseWebhookSecret(newSecret()), parseWebhookSecret(NEW)], { ...headers }, BODY));
});

test('a message is not accepted five minutes later, nor five minutes too early', () => {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const secrets = [parseWebhookSecret(NEW)];
  const sentAt = (at: number) => verifyWebhook(secrets, { ...signed([NEW], at) }, BODY, now);
  assert.ok(sentAt(now - 300_000) && sentAt(now + 300_000));
  assert.ok(!sentAt(now - 301_000) && !sentAt(now + 301_000));
});

test('headers that are missing, doubled or of another form are not accepted', () => {
  const headers = { ...signed([NEW]) };
  const secrets = [parseWebhookSecret(NEW)];
  const wrong = (change: Record<string, string | string[] | undefined>) =>
    assert.ok(!verifyWebhook(secrets, { ...headers, ...change }, BODY), JSON.stringify(change));
  for (const name of Object.keys(headers)) {
    wrong({ [name]: undefined });
    wrong({ [name]: [headers[name as keyof WebhookHeaders], 'x'] });
    wrong({ [name]: '' });
  }
  const signature = headers['webhook-signature'].slice(3);
  for (const other of [`v1a,${signature}`, signature, `v1, ${signature.slice(1)}`, 'v1,', `v1,${signature.slice(4)}`]) {
    wrong({ 'webhook-signature': other });
  }
  for (const other of ['1e9', ' 1', '-1', `${headers['webhook-timestamp']}.5`]) wrong({ 'webhook-timestamp': other });
  assert.ok(verifyWebhook(secrets, { ...headers, 'webhook-signature': `v2,x v1a,y v1,${signature}` }, BODY));
});

test('a secret is whsec_ and 24 to 64 bytes; an error does not tell it', () => {
  for (const bytes of [24, 25, 26, 64]) assert.equal(parseWebhookSecret(newSecret(bytes)).length, bytes);
  assert.equal(parseWebhookSecret(newSecret(25).replace(/=+$/, '')).length, 25);
  const random = randomBytes(32).toString('base64');
  const wrong = [newSecret(23), newSecret(65), random, 'whsec_', `whsec_${random}!`, `whsec_ ${random}`, ''];
  for (const text of wrong) {
    assert.throws(
      () => parseWebhookSecret(text),
      (error: Error) => text === '' || !error.message.includes(text.slice(7) || '\0'),
      text,
    );
  }
});

test('an id that could be read as the beginning of another text is not signed', () => {
  for (const id of ['', 'a.b', 'a b', 'a\n', 'ä']) {
    assert.throws(() => signWebhook([parseWebhookSecret(NEW)], { id, at: 0, body: '' }), /id of a webhook/);
  }
});
