import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import type { Address } from '../config/config.ts';
import type { Metrics } from './metrics.ts';
import type { ReadinessProbe } from './readiness.ts';

export interface Api {
  /** With the port the system chose, if port 0 was asked for. */
  readonly address: Address;
  close(): Promise<void>;
}

/** Serves `/healthz`, `/readyz` and `/metrics` over HTTP. Rejects if it cannot listen on `listen`. */
export async function startApi(listen: Address, probe: ReadinessProbe, metrics: Metrics): Promise<Api> {
  const server = createApi(probe, metrics);
  await server.listen({ host: listen.host, port: listen.port });
  const address = server.server.address() as AddressInfo;
  return { address: { host: address.address, port: address.port }, close: () => server.close() };
}

export function createApi(probe: ReadinessProbe, metrics: Metrics): FastifyInstance {
  const server = fastify({ forceCloseConnections: true });
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
  return server;
}
