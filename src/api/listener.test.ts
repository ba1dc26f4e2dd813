import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type IncomingMessage, request, type Server } from 'node:http';
import { request as requestTls } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Certificates, makeCertificates } from '../../test/servers/certificates.ts';
import { createListener } from './listener.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-listener-'));
let certificates: Certificates;
let server: Server;
let port: number;

before(async () => {
  certificates = makeCertificates(directory);
  const tls = {
    certificate: readFileSync(certificates.certificate, 'utf8'),
    key: readFileSync(certificates.key, 'utf8'),
  };
  ({ server } = createListener((message, response) => {
    let body = '';
    message.on('data', (part) => {
      body += part;
    });
    message.on('end', () =>
      response.end(`${(message.socket as TLSSocket).encrypted === true ? 'TLS' : 'clear'} ${body}`),
    );
  }, tls));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  port = (server.address() as AddressInfo).port;
});
after(() => {
  server.close();
  server.closeAllConnections();
  rmSync(directory, { recursive: true });
});

async function answerTo(sent: ReturnType<typeof request>, body: string): Promise<string> {
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const part of response) text += part;
  return text;
}

test('HTTP and HTTPS are served on one port, several requests on a connection', async () => {
  const body = 'x'.repeat(100_000);
  const options = { host: '127.0.0.1', port, method: 'POST' };
  for (let i = 0; i < 3; i++) {
    assert.equal(await answerTo(request(options), body), `clear ${body}`);
    const ca = readFileSync(certificates.ca);
    assert.equal(await answerTo(requestTls({ ...options, ca, servername: 'localhost' }), body), `TLS ${body}`);
  }
});

test('what is neither is dropped, and what breaks off is forgotten', async () => {
  const socket = connect(port, '127.0.0.1');
  socket.write(Buffer.from([0x16, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  for (let i = 0; i < 5; i++)
    connect(port, '127.0.0.1')
      .on('error', () => undefined)
      .destroy();
  const old = connectTls({
    port,
    host: '127.0.0.1',
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    rejectUnauthorized: false,
  });
  await assert.rejects(once(old, 'secureConnect'));
  assert.equal(await answerTo(request({ host: '127.0.0.1', port }), ''), 'clear ');
});
