import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { makeCertificates } from '../../../test/servers/certificates.ts';
import type { SyslogExporter } from '../../config/config.ts';
import { RecordBatch } from '../record-batch.ts';
import { writerOf } from './formats.ts';
import { SyslogSender } from './syslog.ts';
import { ORIGIN } from './test-records.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-syslog-'));
const certificates = makeCertificates(directory);
const pem = (path: string) => readFileSync(path, 'utf8');
after(() => rmSync(directory, { recursive: true, force: true }));

const { signal } = new AbortController();
let seq = 0;
let offset = 0;

/** One record, behind the one made before. */
function batch(text: string): RecordBatch {
  seq++;
  const line = `{"v":1,"seq":${seq},"at":"2026-11-26T07:00:00.000Z","event":"tick","text":"${text}"}\n`;
  const made = new RecordBatch('node1', { segment: 1, offset, seq: seq - 1 }, Buffer.from(line));
  offset = made.end.offset;
  return made;
}

/** Reads frames, each a number of octets and so many; what is not whole is not there yet. */
function textsIn(received: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < received.length; ) {
    const blank = received.indexOf(0x20, at);
    if (blank < 0) break;
    const length = Number(received.toString('latin1', at, blank));
    assert.ok(length > 0);
    if (blank + 1 + length > received.length) break;
    const message = received.toString('utf8', blank + 1, blank + 1 + length);
    texts.push(JSON.parse(message.slice(message.indexOf('{"v"'))).text);
    at = blank + 1 + length;
  }
  return texts;
}

class Receiver {
  readonly server: Server;
  readonly sockets: Socket[] = [];
  /** What each connection brought. */
  readonly received: Buffer[] = [];
  #changed = () => {};

  constructor(isTls: boolean) {
    const take = (socket: Socket) => {
      const index = this.sockets.push(socket) - 1;
      this.received.push(Buffer.alloc(0));
      socket.on('data', (bytes: Buffer) => {
        this.received[index] = Buffer.concat([this.received[index]!, bytes]);
        this.#changed();
      });
      socket.on('error', () => {});
    };
    this.server = isTls
      ? createTlsServer({ cert: pem(certificates.certificate), key: pem(certificates.key) }, take)
      : createServer(take);
  }

  async listen(port = 0): Promise<number> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  texts(): string[] {
    return this.received.flatMap(textsIn);
  }

  async has(...texts: readonly string[]): Promise<void> {
    while (!texts.every((text) => this.texts().includes(text))) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

async function sender(t: TestContext, config: Partial<SyslogExporter>): Promise<SyslogSender> {
  const all: SyslogExporter = {
    ...({ to: 'syslog', name: 'syslog', address: { host: '127.0.0.1', port: 0 }, transport: 'tls' } as const),
    ...({ ca: pem(certificates.ca), certificate: null, key: null, format: 'sluice' } as const),
    ...config,
  };
  const made = new SyslogSender(all, await writerOf(all.format, ORIGIN), ORIGIN);
  t.after(() => made.close());
  return made;
}

async function receiver(t: TestContext, isTls = true): Promise<{ receiver: Receiver; port: number }> {
  const made = new Receiver(isTls);
  const port = await made.listen();
  t.after(() => made.close());
  return { receiver: made, port };
}

const LIMIT = { timeout: 60_000 };

test('records are sent over one connection, and settled once the receiver has closed it', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t);
  const syslog = await sender(t, { address: { host: '127.0.0.1', port } });
  const [first, second] = [batch('ä1'), batch('ä2')];
  // What was sent is not known to have been read.
  assert.deepEqual(await syslog.deliver(first, signal), first.begin);
  assert.deepEqual(await syslog.deliver(second, signal), first.begin);
  assert.deepEqual(await syslog.settle(signal), second.end);
  assert.deepEqual(it.texts(), ['ä1', 'ä2']);
  assert.equal(it.sockets.length, 1);
  const third = batch('ä3');
  assert.deepEqual(await syslog.deliver(third, signal), third.begin);
  await it.has('ä3');
  assert.equal(it.sockets.length, 2);
});

test('what a broken connection may have lost is sent again with the next batch', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t);
  const syslog = await sender(t, { address: { host: '127.0.0.1', port } });
  const first = batch('b1');
  await syslog.deliver(first, signal);
  await it.has('b1');
  const gone = once(it.sockets[0]!, 'close');
  it.sockets[0]!.destroy();
  await gone;
  it.received[0] = Buffer.alloc(0);
  // It takes a moment until the end of the connection is here: until then a batch may be refused, or sent in vain.
  let settled = first.begin;
  for (const next = batch('b2'); settled.seq < next.last; ) {
    await syslog.deliver(next, signal).catch(() => null);
    settled = (await syslog.settle(signal).catch(() => null)) ?? settled;
  }
  await it.has('b1', 'b2');
});

test('what a broken connection may have lost is sent again when nothing else comes', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t);
  const syslog = await sender(t, { address: { host: '127.0.0.1', port } });
  const first = batch('c1');
  await syslog.deliver(first, signal);
  await it.has('c1');
  // Nobody listens, the connection is reset.
  const closed = once(it.server, 'close');
  it.close();
  await closed;
  await assert.rejects(syslog.settle(signal), { name: 'DeliveryError' });
  const again = new Receiver(true);
  t.after(() => again.close());
  await again.listen(port);
  assert.deepEqual(await syslog.settle(signal), first.end);
  assert.deepEqual(again.texts(), ['c1']);
});

test('a receiver that is not who it should be gets nothing', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t);
  const untrusted = await sender(t, { address: { host: '127.0.0.1', port }, ca: null });
  await assert.rejects(untrusted.deliver(batch('d1'), signal), {
    name: 'DeliveryError',
    message: /unable to|self.signed/,
  });
  const { receiver: clear, port: clearPort } = await receiver(t, false);
  const toClear = await sender(t, { address: { host: '127.0.0.1', port: clearPort } });
  const refused = toClear.deliver(batch('d2'), signal);
  const [socket] = (await once(clear.server, 'connection')) as [Socket];
  socket.end('this is no TLS');
  await assert.rejects(refused, { name: 'DeliveryError' });
  assert.deepEqual(it.texts(), []);
  assert.ok(!clear.received.some((bytes) => bytes.includes('d2')));
});

test('TCP without TLS is the same', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t, false);
  const syslog = await sender(t, { address: { host: '127.0.0.1', port }, transport: 'tcp', ca: null });
  const first = batch('e1');
  await syslog.deliver(first, signal);
  assert.deepEqual(await syslog.settle(signal), first.end);
  assert.deepEqual(it.texts(), ['e1']);
});

test('nobody who listens is an error that says where, and it can be given up', LIMIT, async (t) => {
  const { receiver: it, port } = await receiver(t);
  it.close();
  const syslog = await sender(t, { address: { host: '127.0.0.1', port } });
  await assert.rejects(syslog.deliver(batch('f1'), signal), {
    name: 'DeliveryError',
    message: new RegExp(`cannot connect to 127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`),
  });
  // Connects and says nothing: TLS waits for its first word.
  const { port: silent } = await receiver(t, false);
  const abort = new AbortController();
  const waiting = (await sender(t, { address: { host: '127.0.0.1', port: silent } })).deliver(
    batch('f2'),
    abort.signal,
  );
  abort.abort();
  await assert.rejects(waiting, { name: 'DeliveryError', message: /given up/ });
});
