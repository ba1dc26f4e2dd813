/** Syslog as rsyslog reads it: over TLS, killed and started again in between. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { SyslogExporter } from '../src/config/config.ts';
import { writerOf } from '../src/recording/exporters/formats.ts';
import { SyslogSender } from '../src/recording/exporters/syslog.ts';
import { ORIGIN, SAMPLES } from '../src/recording/exporters/test-records.ts';
import { RecordBatch } from '../src/recording/record-batch.ts';
import { type Rsyslog, startRsyslog } from './servers/rsyslog.ts';

const { signal } = new AbortController();

describe('rsyslog', () => {
  let rsyslog: Rsyslog | null = null;
  before(async () => {
    rsyslog = await startRsyslog();
  });
  after(() => rsyslog?.stop());

  async function senderTo({ port, certificates }: Rsyslog, format: 'sluice' | 'ocsf' | 'cef'): Promise<SyslogSender> {
    const config: SyslogExporter = {
      ...({ to: 'syslog', name: 'syslog', address: { host: '127.0.0.1', port }, transport: 'tls' } as const),
      ...{ format, ca: readFileSync(certificates.ca, 'utf8'), certificate: null, key: null },
    };
    return new SyslogSender(config, await writerOf(format, ORIGIN), ORIGIN);
  }

  async function until(holds: () => boolean): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (!holds()) {
      assert.ok(Date.now() < deadline, rsyslog!.log());
      await delay(50);
    }
  }

  test('reads every format, with its head and its structured data', async (t) => {
    if (rsyslog === null) return t.skip('NOT RUN: there is no rsyslog here');
    const bytes = Buffer.from(SAMPLES.map(({ fields }) => `${JSON.stringify(fields)}\n`).join(''));
    const all = new RecordBatch('node1', { segment: 1, offset: 0, seq: 0 }, bytes);
    for (const format of ['sluice', 'ocsf', 'cef'] as const) {
      const had = rsyslog.messages().length;
      const sender = await senderTo(rsyslog, format);
      await sender.deliver(all, signal);
      assert.deepEqual(await sender.settle(signal), all.end);
      await sender.close();
      const write = await writerOf(format, ORIGIN);
      const expected = write(all).events;
      await until(() => rsyslog!.messages().length >= had + expected.length);
      const messages = rsyslog.messages().slice(had);
      assert.equal(messages.length, expected.length);
      for (const [i, { hostname, app, data, message }] of messages.entries()) {
        assert.deepEqual([hostname, app], ['node1.example', 'sluice']);
        assert.match(
          data,
          /^\[sluice@32473 node="node1".*\]\[meta sequenceId="\d+"\]\[origin software="Sluice" swVersion="0\.1\.0"\]$/,
        );
        if (format === 'ocsf') {
          const { attestation_list: _, ...event } = JSON.parse(message);
          const { attestation_list: __, ...wanted } = JSON.parse(expected[i]!.text);
          assert.deepEqual(event, wanted);
        } else assert.equal(message, expected[i]!.text);
      }
    }
  });

  test('loses nothing when it is killed and started again', async (t) => {
    if (rsyslog === null) return t.skip('NOT RUN: there is no rsyslog here');
    const sender = await senderTo(rsyslog, 'sluice');
    const total = 400;
    let position = 0;
    for (let n = 1; n <= total; n++) {
      const line = `{"v":1,"seq":${n},"at":"2026-11-26T07:00:00.000Z","event":"tick","text":"kept ${n} ${'x'.repeat(500)}"}\n`;
      const batch = new RecordBatch('node1', { segment: 9, offset: position, seq: n - 1 }, Buffer.from(line));
      position = batch.end.offset;
      if (n % 150 === 0) await rsyslog.kill();
      // As the follower does: until it is taken.
      for (;;) {
        const taken = await sender.deliver(batch, signal).catch((error: Error) => error);
        if (!(taken instanceof Error)) break;
        assert.equal(taken.name, 'DeliveryError');
        await rsyslog.kill();
        await rsyslog.start();
      }
    }
    for (;;) {
      const settled = await sender.settle(signal).catch(() => null);
      if (settled !== null) {
        assert.equal(settled.seq, total);
        break;
      }
      await rsyslog.kill();
      await rsyslog.start();
    }
    await sender.close();
    const kept = () =>
      new Set(rsyslog!.messages().flatMap(({ message }) => /"text":"kept (\d+) x{500}"/.exec(message)?.[1] ?? []));
    await until(() => kept().size === total);
  });
});
