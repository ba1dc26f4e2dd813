import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { parseWebhookSecret } from '../protocols/webhooks/standard-webhooks.ts';
import { requestFor } from '../src/approvals/test-requests.ts';
import { WebhookChannel } from '../src/approvals/webhook-channel.ts';
import { NOTICES } from '../src/config/approval-notices.ts';

const ROOT = join(import.meta.dirname, '..');

test('the receiver in docs/approvals.md takes what is signed, and nothing else', async () => {
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const [, example] = /```js\n(.*?)```/s.exec(readFileSync(join(ROOT, 'docs/approvals.md'), 'utf8'))!;
  const listening = '.listen(0, "127.0.0.1", function () { console.log(this.address().port); })';
  const code = example!.replace('.listen(Number(process.env.PORT))', listening);
  const receiver = spawn(process.execPath, ['--input-type=module', '-e', code], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, PAGER_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]();
  try {
    const port = (await lines.next()).value as string;
    const channelWith = (text: string) =>
      new WebhookChannel(
        {
          ...{ to: 'webhook', name: 'pager', connections: null, events: NOTICES, statements: false },
          ...{ url: `http://127.0.0.1:${port}/`, secrets: [parseWebhookSecret(text)] },
        },
        'https://sluice.example',
      );
    const channel = channelWith(secret);
    const payload = channel.payloadOf({ event: 'requested', request: requestFor('DELETE FROM orders') }, 1)!;
    const delivery = { id: 'msg_1', request: 17, number: 1, event: 'approval.requested', payload } as const;
    assert.equal(await channel.deliver(delivery, AbortSignal.timeout(20_000)), 1);
    assert.equal(
      (await lines.next()).value,
      'approval.requested 17 bot delete public.orders (none) https://sluice.example/approvals/17',
    );
    const stranger = channelWith(`whsec_${randomBytes(32).toString('base64')}`);
    await assert.rejects(stranger.deliver(delivery, AbortSignal.timeout(20_000)), /HTTP 401/);
  } finally {
    receiver.kill();
    await once(receiver, 'exit');
  }
});
