import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import type { Address, Config } from '../config/config.ts';
import type { Jwks } from '../recording/signing-key.ts';
import { createListener, type ServerCertificate } from './listener.ts';
import type { Metrics } from './metrics.ts';
import type { ReadinessProbe } from './readiness.ts';

export interface ApiListener {
  /** With the port the system chose, if port 0 was asked for. */
  readonly address: Address;
  /** Another certificate for those who connect from now on. */
  renewTls(tls: ServerCertificate): void;
  close(): Promise<void>;
}

/** What listens over HTTP, and over HTTPS where there is a certificate. */
export interface ServerParts {
  readonly tls: Config['tls'];
  readonly probe: ReadinessProbe;
  readonly metrics: Metrics;
  /** The public keys that the journal is signed with. */
  readonly keys: Jwks;
  /** Everything under /api/v1: made when the first request for it comes, because it takes some 20 MB. */
  createApi(): Promise<FastifyInstance>;
}

/** Serves health, metrics and the API. Rejects if it cannot listen on `listen`. */
export async function startServer(listen: Address, parts: ServerParts): Promise<ApiListener> {
  const { server, renewTls } = createServer(parts);
  await server.listen({ host: listen.host, port: listen.port });
  const address = server.server.address() as AddressInfo;
  return { address: { host: address.address, port: address.port }, renewTls, close: () => server.close() };
}

function createServer({ tls, probe, metrics, keys, createApi }: ServerParts): Pick<ApiListener, 'renewTls'> & {
  readonly server: FastifyInstance;
} {
  let renewTls: ApiListener['renewTls'] = () => undefined;
  const server = fastify({
    forceCloseConnections: true,
    serverFactory: (handler) => {
      const listener = createListener(handler, tls);
      renewTls = listener.renewTls;
      return listener.server;
    },
  });
  server.addHook('onRequest', async (_, reply) => {
    reply.header('cache-control', 'no-store');
  });
  // Alive: the event loop turns. Whether statements can be served is /readyz.
  server.get('/healthz', async () => ({ alive: true }));
  server.get('/readyz', async (_, reply) => {
    const readiness = await probe.run();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  server.get('/metrics', async (request, reply) => {
    const { contentType, body } = await metrics.scrape(request.headers.accept ?? '');
    return reply.header('content-type', contentType).send(body);
  });
  // RFC 7517 has no well-known address; this one is where key sets are looked for.
  server.get('/.well-known/jwks.json', async (_, reply) => reply.type('application/jwk-set+json').send(keys));
  let api: Promise<FastifyInstance> | null = null;
  // Before its body is read: that is for those who know what it has to be.
  server.addHook('onRequest', async (request, reply) => {
    if (!request.url.startsWith('/api/v1/')) return;
    api ??= createApi();
    const { routing } = await api;
    reply.hijack();
    routing(request.raw, reply.raw);
  });
  server.addHook('onClose', async () => {
    await (await api)?.close();
  });
  return { server, renewTls };
}
