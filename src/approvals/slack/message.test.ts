import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buttonsOf, preformattedOf } from '../../../test/fake-slack.ts';
import type { ApprovalRequest, Vote } from '../request.ts';
import { question, requestFor } from '../test-requests.ts';
import {
  fitsInModal,
  isApprovedAtOnce,
  isShownInFull,
  type MessageStyle,
  messageOf,
  modalOf,
  visible,
} from './message.ts';

const STYLE: MessageStyle = { channel: 'dba', statements: true, approvalsUrl: null };

const confirms = (one: ApprovalRequest) => buttonsOf(messageOf(one, STYLE))[0]!.confirm !== undefined;

test('a statement with its values is shown as it is, whatever is in it', () => {
  const hostile = '```DELETE``` <!channel> <@U1> :boom: *b* & https://evil.example';
  const one = requestFor(hostile, {}, '[{"int4":3}]');
  assert.equal(preformattedOf(messageOf(one, STYLE)), `${hostile}\n-- values: [{"int4":3}]`);
  assert.ok(!JSON.stringify(messageOf(one, STYLE).blocks).includes('mrkdwn'));
  assert.equal(messageOf(one, STYLE).text, 'Request 17 waits for approval');
});

test('what cannot be seen, or turns text around, is written out', () => {
  assert.equal(visible('a\u202eb\u200bc\u0000d\u2028e\r\nf\tg'), 'a\\u{202e}b\\u{200b}c\\u{0}d\\u{2028}e\nf\tg');
  const one = requestFor('DELETE FROM orders /*\u202e } \u2066if (admin)*/');
  assert.ok(!/[\u202e\u2066]/.test(JSON.stringify(messageOf(one, STYLE))));
});

test('one click approves only what is shown in full: nothing that is long, or pushed out of sight', () => {
  const whole = [
    'DELETE FROM orders',
    `DELETE FROM orders -- ${'x'.repeat(2_400)}`,
    `DELETE${'\n'.repeat(19)}FROM orders`,
  ];
  for (const statement of whole) {
    assert.ok(isShownInFull(requestFor(statement), STYLE));
    assert.ok(confirms(requestFor(statement)));
  }
  const parts = [
    `DELETE FROM orders -- ${'x'.repeat(2_500)}`,
    `DELETE${'\n'.repeat(20)}FROM orders`,
    '\u200b'.repeat(400),
  ];
  for (const statement of parts) {
    assert.ok(!isShownInFull(requestFor(statement), STYLE));
    assert.ok(!confirms(requestFor(statement)));
    assert.equal(preformattedOf(messageOf(requestFor(statement), STYLE)), '');
  }
  assert.ok(!isShownInFull(requestFor('DELETE FROM orders'), { statements: false }));
});

test('a modal shows all of a long statement, without cutting a character in two, or says that it does not', () => {
  const long = `DELETE FROM orders WHERE note IN (${"'😀', ".repeat(2_000)}'x')`;
  assert.ok(fitsInModal(requestFor(long)));
  const modal = modalOf(requestFor(long), 'approve', STYLE) as {
    blocks: Parameters<typeof preformattedOf>[0]['blocks'];
  };
  assert.equal(preformattedOf(modal), long);
  for (const block of modal.blocks) assert.ok(preformattedOf({ blocks: [block] }).isWellFormed());
  const longer = requestFor(`DELETE FROM orders -- ${'x'.repeat(20_000)}`);
  assert.ok(!fitsInModal(longer));
  assert.equal(modalOf(longer, 'approve', STYLE).submit, undefined);
  assert.notEqual(modalOf(longer, 'reject', STYLE).submit, undefined);
});

test('a message says how it stands, who voted, and how many rows it is about', () => {
  const vote: Vote = {
    ...{ issuer: '', subject: 'ann', groups: ['dba'], onBehalfOf: ['zoe'], isApprover: true },
    ...{ decision: 'approve', reason: 'fine', channel: 'slack', at: 1, isUncounted: false },
  };
  const impact = { rows: 3, estimatedRows: 5, cascades: ['delete public.items'], triggers: [], gaps: [] };
  const change = { state: 'used', votes: [vote], impact, question: question({ unguarded: null }) } as const;
  const approved = messageOf(requestFor('DELETE FROM orders', change), STYLE);
  const text = JSON.stringify(approved);
  assert.match(approved.text, /was approved, and has run/);
  assert.match(text, /ann approved, also in the place of zoe: fine/);
  assert.match(text, /3, counted; rolled back if it changes more; cascades: delete public\.items/);
  assert.deepEqual(buttonsOf(approved), []);
  const broken = { ...vote, decision: 'break-glass' as const };
  assert.match(messageOf(requestFor('x', { state: 'approved', votes: [broken] }), STYLE).text, /approved by one alone/);
  assert.match(messageOf(requestFor('x', { state: 'withdrawn', reason: 'gone' }), STYLE).text, /was withdrawn/);
  assert.match(messageOf(requestFor('x', { state: 'expired' }), STYLE).text, /has expired/);
});

test('one click approves only what has been counted; a window says what is not', () => {
  const counted = { rows: 3, estimatedRows: 5, cascades: [], triggers: [], gaps: [] };
  const open = { ...STYLE, statements: true };
  const guardable = question({ unguarded: null });
  const uncounted = requestFor('x', { question: guardable });
  assert.ok(!isApprovedAtOnce(uncounted, open));
  assert.ok(!isApprovedAtOnce(requestFor('x', { question: guardable, impact: { ...counted, rows: null } }), open));
  assert.ok(isApprovedAtOnce(requestFor('x', { question: guardable, impact: counted }), open));
  assert.ok(isApprovedAtOnce(requestFor('x', { question: guardable, grant: 'fingerprint' }), open));
  assert.match(JSON.stringify(modalOf(uncounted, 'approve', STYLE)), /it may change any number of them/);
  assert.doesNotMatch(JSON.stringify(modalOf(uncounted, 'reject', STYLE)), /it may change any number of them/);
});

test('a request that is about very much is still a message that Slack takes', () => {
  const effects = Array.from({ length: 500 }, (_, n) => `delete public.table${n} (keyed)`);
  const votes = Array.from(
    { length: 100 },
    (_, n): Vote => ({
      ...{ issuer: '', subject: `voter ${n}`, groups: [], onBehalfOf: [], isApprover: true },
      ...{ decision: 'approve', reason: 'r'.repeat(2_000), channel: 'api', at: n, isUncounted: false },
    }),
  );
  const { blocks } = messageOf({ ...requestFor('x', { votes }), question: question({ effects }) }, STYLE);
  assert.ok(blocks.length <= 50);
  const [, section] = blocks as { fields?: { text: string }[] }[];
  assert.ok(section!.fields!.every(({ text }) => text.length <= 2_000));
});
