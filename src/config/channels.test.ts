import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { NOTICES } from './approval-notices.ts';
import type { ApprovalChannelConfig } from './config.ts';
import { loadConfig } from './load.ts';
import { InvalidFileError } from './yaml-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-channels-'));
after(() => rmSync(directory, { recursive: true }));

const HOOK = `whsec_${'a'.repeat(40)}`;
const ENVIRONMENT = {
  OLD_HOOK: HOOK.replace('a', 'b'),
  TOKEN: 'xoxb-1',
  SIGNING: 'hunter2',
  TWO: 'x y',
};
const WEBHOOK = '{ to: webhook, name: pager, url: "https://pager.example/x?y=z", secret: { env: SLUICE_HOOK } }';
const SLACK =
  '{ to: slack, name: chat, team: T024BE7LD, channel: C061EG9SL, bot_token: { env: TOKEN }, signing_secret: { env: SIGNING }, users: [{ slack: U023BECGF, subject: dana }] }';

const file = (channels: string, api = ', api: 127.0.0.1:0') => `listen: { postgres: 127.0.0.1:0${api} }
connections:
  - { name: orders, protocol: postgres, default: deny, upstream: { host: db, database: orders, user: app } }
identity:
  without_tls: loopback
  users: [{ name: dana, kind: human, mysql_native: "*${'0'.repeat(40)}" }, { name: bot, kind: agent, mysql_native: "*${'0'.repeat(40)}" }]
recording: { directory: ./journal }
approvals: { channels: [${channels}] }
`;

async function load(text: string): Promise<readonly ApprovalChannelConfig[]> {
  const path = join(directory, 'sluice.yaml');
  writeFileSync(path, text);
  return (await loadConfig(path, { ...ENVIRONMENT, ...(text.includes('SLUICE_HOOK') && { SLUICE_HOOK: HOOK }) }))
    .approvals.channels;
}

async function problemsOf(channels: string, api?: string): Promise<string> {
  const error = await load(file(channels, api)).then(
    () => assert.fail('it is accepted'),
    (reason) => reason,
  );
  assert.ok(error instanceof InvalidFileError, String(error));
  return error.problems.map(({ message }) => message).join('\n');
}

test('a webhook is told of all events, without statements, unless it is said otherwise', async () => {
  const [channel] = await load(file(WEBHOOK));
  assert.ok(channel?.to === 'webhook');
  assert.deepEqual([channel.events, channel.statements, channel.connections], [NOTICES, false, null]);
  assert.equal(channel.url, 'https://pager.example/x?y=z');
  assert.equal(channel.secrets.length, 1);
});

test('a webhook is signed with the secret before as well while that is told', async () => {
  const [channel] = await load(file(WEBHOOK.replace(' }', ' }, previous_secret: { env: OLD_HOOK }')));
  assert.ok(channel?.to === 'webhook');
  assert.equal(channel.secrets.length, 2);
  assert.notDeepEqual(channel.secrets[0], channel.secrets[1]);
});

test('Slack shows no statements, and groups are those of the last week, unless it is said otherwise', async () => {
  const [channel] = await load(file(SLACK));
  assert.ok(channel?.to === 'slack');
  assert.deepEqual(
    [channel.statements, channel.loginWithinMs, channel.api, channel.botToken],
    [false, 7 * 24 * 3_600_000, 'https://slack.com/api', 'xoxb-1'],
  );
  assert.deepEqual(channel.users.get('U023BECGF'), { subject: 'dana', issuer: null });
});

describe('a channel is refused', () => {
  const cases: Record<string, [string, RegExp]> = {
    'whose address is in clear': [WEBHOOK.replace('https', 'http'), /channels\[0\]\.url must be an https address/],
    'whose address has a password in it': [WEBHOOK.replace('pager.ex', 'a:b@pager.ex'), /must have no user, password/],
    'whose address is none': [WEBHOOK.replace('https://', ''), /is not an address such as/],
    'of an unknown kind': [WEBHOOK.replace('to: webhook', 'to: mail'), /channels\[0\]\.to /],
    'with an unknown key': [
      WEBHOOK.replace('name:', 'event: [], name:'),
      /unknown key .*event"\. Did you mean "events"/,
    ],
    'for an unknown event': [
      WEBHOOK.replace('name:', 'events: [approval.votes], name:'),
      /Did you mean "approval\.voted"/,
    ],
    'for an unknown connection': [WEBHOOK.replace('name:', 'connections: [stock], name:'), /"stock" is no connection/],
    'without a secret': [WEBHOOK.replace(', secret: { env: SLUICE_HOOK }', ''), /channels\[0\]\.secret is required/],
    'whose secret is written into the file': [WEBHOOK.replace('{ env: SLUICE_HOOK }', HOOK), /a secret is not written/],
    'whose secret is not there': [WEBHOOK.replace('SLUICE_HOOK', 'NONE'), /environment variable NONE is not set/],
    'whose secret is no webhook secret': [WEBHOOK.replace('SLUICE_HOOK', 'SIGNING'), /a webhook secret is whsec_/],
    'that is there twice': [`${WEBHOOK}, ${WEBHOOK}`, /"pager" is there twice/],
    'for Slack whose token is none': [SLACK.replace('TOKEN', 'TWO'), /one word of printable ASCII/],
    'for Slack with a name for an id': [SLACK.replace('C061EG9SL', 'dba'), /must be Slack's id of a conversation/],
    'for Slack where nobody could vote': [SLACK.replace(/, users.*\]/, ''), /neither email_issuer nor users/],
    'for Slack where an agent would vote': [SLACK.replace('dana', 'bot'), /"bot" is no human user of this file/],
    'for Slack with an unknown provider': [SLACK.replace('users', 'email_issuer: x, users'), /"x" is no issuer/],
    'for Slack with somebody of one': [SLACK.replace('dana', 'dana, issuer: y'), /"y" is no issuer/],
  };
  for (const [name, [channel, expected]] of Object.entries(cases)) {
    test(name, async () => {
      const problems = await problemsOf(channel);
      assert.match(problems, expected);
      assert.ok(!/hunter2|aaaa/.test(problems), problems);
    });
  }

  test('for Slack where nothing listens for what it sends', async () => {
    assert.match(await problemsOf(SLACK, ''), /channels\[0\]\.to needs listen\.api/);
  });
});

test('an address of this machine may be in clear', async () => {
  const [channel] = await load(file(WEBHOOK.replace('https://pager.example', 'http://127.0.0.1:8080')));
  assert.ok(channel?.to === 'webhook');
});
