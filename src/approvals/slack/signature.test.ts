import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { isFromSlack } from './signature.ts';

const SECRET = '8f742231b10e8888abcd99yyyzzz85a5';

function signed(body: string, at: number, secret = SECRET): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const signature = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex');
  return { 'x-slack-request-timestamp': timestamp, 'x-slack-signature': `v0=${signature}` };
}

test("the example of Slack's documentation is from Slack", () => {
  const body =
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c';
  const headers = {
    'x-slack-request-timestamp': '1531420618',
    'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
  };
  assert.ok(isFromSlack(SECRET, headers, Buffer.from(body), 1531420618_000));
  assert.ok(!isFromSlack(SECRET, headers, Buffer.from(`${body}&`), 1531420618_000));
  assert.ok(!isFromSlack(SECRET, headers, Buffer.from(body), 1531420618_000 + 301_000));
});

test('what is five minutes old, or ahead, is still taken, and what is older is not', () => {
  const now = 1_800_000_000_000;
  const isTaken = (at: number) => isFromSlack(SECRET, signed('x', at), Buffer.from('x'), now);
  assert.ok(isTaken(now - 300_000) && isTaken(now + 300_000));
  assert.ok(!isTaken(now - 301_000) && !isTaken(now + 301_000));
});

test('another secret, another body, or headers of another form are not from Slack', () => {
  const now = Date.now();
  const right = signed('x', now);
  const isTaken = (headers: Record<string, string | string[] | undefined>, body = 'x') =>
    isFromSlack(SECRET, headers, Buffer.from(body), now);
  assert.ok(isTaken(right));
  assert.ok(!isTaken(signed('x', now, 'other')));
  assert.ok(!isTaken(right, 'y'));
  const signature = right['x-slack-signature']!;
  for (const other of [
    '',
    signature.slice(3),
    signature.toUpperCase(),
    `${signature}0`,
    'v0=',
    undefined,
    [signature],
  ]) {
    assert.ok(!isTaken({ ...right, 'x-slack-signature': other }), String(other));
  }
  for (const other of ['', 'x', '1e9', `${right['x-slack-request-timestamp']} `, undefined]) {
    assert.ok(!isTaken({ ...right, 'x-slack-request-timestamp': other }), String(other));
  }
});
