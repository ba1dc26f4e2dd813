import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

/** A real HTTP server on a port of 127.0.0.1, which others send to, and which may be gone for a while. */
export abstract class InterruptibleServer {
  readonly #server: ReturnType<typeof createServer>;
  #isAway = false;

  /** @param tls PEM texts; without them it is HTTP */
  protected constructor(tls: { readonly cert: string; readonly key: string } | null = null) {
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.take(request, Buffer.concat(chunks).toString(), response));
    };
    this.#server = tls === null ? createServer(listener) : createTlsServer(tls, listener);
    this.#server.on('connection', (socket: Socket) => {
      if (this.#isAway) socket.destroy();
    });
  }

  /** Answers a request that has come whole. */
  protected abstract take(request: IncomingMessage, body: string, response: ServerResponse): void;

  protected async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on every connection is cut: its port stays its own, so that it can come back. */
  goAway(): void {
    this.#isAway = true;
    this.#server.closeAllConnections();
  }

  comeBack(): void {
    this.#isAway = false;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
