import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  TLSSocket,
} from 'node:tls';
import { endPointBinding } from '../../protocols/postgres/channel-binding.ts';
import type { ChannelBinding } from '../../protocols/postgres/scram.ts';
import type { TlsConfig } from '../config/config.ts';
import { type ClientCertificate, readCertificate } from '../identity/client-certificate.ts';
import { NotLetIn } from './entrance.ts';

/** TLS towards the clients of one listener: certificates by server name, and the certificates of clients. */
export class ClientTls {
  readonly #server: Server;
  /** Sockets in their handshake, by where they come from: the server tells of them by that only. */
  readonly #handshakes = new Map<string, PromiseWithResolvers<TLSSocket>>();

  #usual: SecureContext;
  #named: ReadonlyMap<string, SecureContext>;

  /** @param protocols that clients may ask for by ALPN; those that ask for others only are refused */
  constructor(config: TlsConfig, protocols: readonly string[]) {
    this.#usual = createSecureContext(optionsOf(config, config));
    this.#named = contextsByName(config);
    this.#server = createServer({
      ...optionsOf(config, config),
      SNICallback: (name, choose) => choose(null, this.#contextFor(name.toLowerCase())),
      ...(protocols.length > 0 && { ALPNProtocols: [...protocols] }),
      // Whose certificate is not good enough may still have a password.
      ...(config.clientCa !== null && { requestCert: true, rejectUnauthorized: false }),
    });
    this.#server.on('secureConnection', (tls) => {
      const handshake = this.#taken(placeOf(tls));
      if (handshake === undefined) tls.destroy();
      else handshake.resolve(tls);
    });
    this.#server.on('tlsClientError', ({ message }, tls) => {
      this.#taken(placeOf(tls))?.reject(new NotLetIn('refused', `TLS: ${message}`, null));
      tls.destroy();
    });
  }

  /** The handshake, as the server. @throws NotLetIn */
  secure(socket: Socket): Promise<TLSSocket> {
    const handshake = Promise.withResolvers<TLSSocket>();
    // A socket that has closed does not know any more where it came from.
    const place = placeOf(socket);
    const closed = (): void => {
      const message = 'the client closed the connection during the TLS handshake';
      this.#taken(place)?.reject(new NotLetIn('refused', message, null));
    };
    this.#handshakes.set(place, handshake);
    socket.once('close', closed);
    this.#server.emit('connection', socket);
    return handshake.promise.finally(() => socket.off('close', closed));
  }

  /** Other certificates and authorities for those who connect from now on. */
  renew(config: TlsConfig): void {
    this.#usual = createSecureContext(optionsOf(config, config));
    this.#named = contextsByName(config);
    this.#server.setSecureContext(optionsOf(config, config));
  }

  /** Exactly of the name, or with `*` for its first label. */
  #contextFor(name: string): SecureContext {
    return this.#named.get(name) ?? this.#named.get(name.replace(/^[^.]+/, '*')) ?? this.#usual;
  }

  #taken(place: string): PromiseWithResolvers<TLSSocket> | undefined {
    const handshake = this.#handshakes.get(place);
    this.#handshakes.delete(place);
    return handshake;
  }
}

/** What SCRAM is bound to on this connection; `null` where it cannot be. */
export function bindingOf(socket: Socket): ChannelBinding | null {
  const certificate = socket instanceof TLSSocket ? socket.getX509Certificate() : undefined;
  const data = certificate === undefined ? null : endPointBinding(certificate.raw);
  return data === null ? null : { type: 'tls-server-end-point', data };
}

/** The certificate that the client has shown, and why it is not accepted; `null` where it has shown none. */
export function certificateOf(socket: Socket): ClientCertificate | null {
  if (!(socket instanceof TLSSocket)) return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  return readCertificate(certificate, socket.authorized ? null : String(socket.authorizationError));
}

function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function contextsByName(config: TlsConfig): ReadonlyMap<string, SecureContext> {
  return new Map(config.names.map((one) => [one.name.toLowerCase(), createSecureContext(optionsOf(one, config))]));
}

function optionsOf(
  { certificate: cert, key }: Pick<TlsConfig, 'certificate' | 'key'>,
  { clientCa }: TlsConfig,
): SecureContextOptions {
  return {
    ...{ cert, key, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET },
    ...(clientCa !== null && { ca: clientCa }),
  };
}
