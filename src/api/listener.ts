import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, type SecureContextOptions } from 'node:tls';

/** How long a client may be silent before it has sent its first byte, milliseconds. */
const SILENT_MS = 10_000;
/** How long a TLS handshake may take, milliseconds. */
const HANDSHAKE_MS = 10_000;
const TLS_HANDSHAKE = 0x16;

/** PEM texts. */
export interface ServerCertificate {
  readonly certificate: string;
  readonly key: string;
}

interface Listener {
  readonly server: Server;
  /** Another certificate for those who connect from now on. */
  renewTls(tls: ServerCertificate): void;
}

/**
 * HTTP and, with a certificate, HTTPS on the same port: a probe on this machine needs no certificate, and what carries a
 * password has TLS. The first byte tells which it is.
 */
export function createListener(handler: RequestListener, tls: ServerCertificate | null): Listener {
  const server = createServer(handler);
  if (tls === null) return { server, renewTls: () => undefined };
  const [serve] = server.listeners('connection') as [(socket: Socket) => void];
  const secure = createTlsServer(
    {
      cert: tls.certificate,
      key: tls.key,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: HANDSHAKE_MS,
    },
    (socket) => serve.call(server, socket),
  );
  secure.on('tlsClientError', (_, socket) => socket.destroy());
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const drop = () => socket.destroy();
    socket.setTimeout(SILENT_MS, drop);
    socket.once('error', drop);
    const begin = () => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) {
        socket.once('readable', begin);
        return;
      }
      socket.unshift(first);
      socket.setTimeout(0);
      socket.off('timeout', drop).off('error', drop);
      if (first[0] === TLS_HANDSHAKE) secure.emit('connection', socket);
      else serve.call(server, socket);
    };
    begin();
  });
  return { server, renewTls: (renewed) => secure.setSecureContext(optionsOf(renewed)) };
}

function optionsOf({ certificate: cert, key }: ServerCertificate): SecureContextOptions {
  return { cert, key, minVersion: 'TLSv1.2' };
}
