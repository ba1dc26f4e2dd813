import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { ClientReads } from './client-reads.ts';

const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
await once(server, 'listening');
after(() => server.close());

/** A client, and what reads it. */
async function pair(): Promise<{ client: Socket; reads: ClientReads }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  return { client, reads: new ClientReads(accepted) };
}

test('a client is a stream first, then read by a session, then a stream again', async () => {
  const { client, reads } = await pair();
  client.write('login');
  await once(reads.socket, 'readable');
  assert.equal(String(reads.socket.read(5)), 'login');

  let { promise, resolve } = Promise.withResolvers<Buffer>();
  reads.readBy({ fromClient: (chunk) => resolve(chunk) });
  reads.socket.resume();
  client.write('first');
  const first = await promise;
  ({ promise, resolve } = Promise.withResolvers<Buffer>());
  client.write('second');
  assert.equal(String(await promise), 'second');
  assert.equal(String(first), 'first', 'what was read before is not overwritten');

  reads.readBy(null);
  reads.socket.pause();
  client.write('again');
  reads.socket.read(0);
  await once(reads.socket, 'readable');
  assert.equal(String(reads.socket.read()), 'again');
  client.destroy();
});

test('nothing is read from a paused client, and all of it afterwards', async () => {
  const { client, reads } = await pair();
  let bytes = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  reads.readBy({
    fromClient: (chunk) => {
      bytes += chunk.length;
      if (bytes === chunk.length) reads.socket.pause();
      if (bytes === SENT) resolve();
    },
  });
  reads.socket.resume();
  const SENT = 32 * 1024 * 1024;
  // More than sockets buffer: it is not gone before the other side reads.
  assert.equal(client.write(Buffer.alloc(SENT)), false);
  while (bytes === 0) await new Promise(setImmediate);
  assert.ok(bytes <= 64 * 1024, `${bytes} bytes were read`);
  reads.socket.resume();
  await promise;
  client.destroy();
});

test('a client that ends still gets an answer', async () => {
  const { client, reads } = await pair();
  reads.readBy({ fromClient: () => undefined });
  reads.socket.resume();
  client.end('last');
  await once(reads.socket, 'end');
  reads.socket.end('answer');
  const [answer] = await once(client, 'data');
  assert.equal(String(answer), 'answer');
});

test('a client that has gone when it is accepted has closed', async () => {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  accepted.destroy();
  const { socket } = new ClientReads(accepted);
  assert.ok(socket.destroyed);
  client.destroy();
});

test('a server that is closed has no connections left when its clients have gone', async () => {
  const own = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(own, 'listening');
  const client = connect((own.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(own, 'connection')) as [Socket];
  const { socket } = new ClientReads(accepted);
  const closed = once(own, 'close');
  own.close();
  socket.destroy();
  await closed;
  client.destroy();
});
