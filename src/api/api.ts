import type { TLSSocket } from 'node:tls';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { isLoopback } from '../gateway/link.ts';
import { AccessUnknown } from '../identity/access-unknown.ts';
import { ApiError } from './api-error.ts';
import { authenticate, NotAuthenticated } from './authentication.ts';
import { mayUse } from './roles.ts';
import { addAgentRoutes } from './routes/agents.ts';
import { addApprovalEventRoutes } from './routes/approval-events.ts';
import { addApprovalRoutes } from './routes/approvals.ts';
import { addChannelRoutes } from './routes/channels.ts';
import { addCredentialRoutes } from './routes/credentials.ts';
import { addLoginRoutes } from './routes/login.ts';
import { addMeRoutes } from './routes/me.ts';
import { addRecordingRoutes } from './routes/recordings.ts';
import { addReloadRoutes } from './routes/reload.ts';
import { addSessionRoutes } from './routes/sessions.ts';
import type { ApiServer, ApiServices } from './services.ts';

/** Requests a minute from one address; somebody who tries passwords is slowed down much earlier. */
const MOST_REQUESTS = 1200;
const MOST_BODY_BYTES = 256 * 1024;

/** Everything under /api/v1, with nothing that listens. */
export async function createApi(services: ApiServices): Promise<FastifyInstance> {
  const server = fastify({ bodyLimit: MOST_BODY_BYTES });
  server.addHook('onRequest', async (_, reply) => {
    reply.header('cache-control', 'no-store');
  });
  await server.register(async (scope) => addRoutes(scope.withTypeProvider<ZodTypeProvider>(), services), {
    prefix: '/api/v1',
  });
  await server.ready();
  return server;
}

async function addRoutes(api: ApiServer, services: ApiServices): Promise<void> {
  api.setValidatorCompiler(validatorCompiler);
  api.setSerializerCompiler(serializerCompiler);
  // Whoever forgets to say who may use a route has made none.
  api.addHook('onRoute', ({ url, method, config }) => {
    if (config?.audience === undefined) throw new Error(`${method} ${url} has no audience`);
  });
  await api.register(rateLimit, { global: false });
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sluice', version: '1', description: 'What runs behind Sluice, and who may.' },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'A token of a provider, or of `sluice login`.' },
          user: {
            type: 'http',
            scheme: 'basic',
            description: 'A user of sluice.yaml, over TLS or on the same machine.',
          },
        },
      },
    },
    transform: (route) => {
      const { schema, url } = jsonSchemaTransform(route);
      const audience = route.route.config?.audience;
      const security = audience === 'public' ? [] : [{ token: [] }, { user: [] }];
      return { schema: { ...schema, security, 'x-audience': audience } as typeof schema, url };
    },
  });
  api.decorateRequest('caller', null);
  // Before anything is looked up for a request.
  api.addHook('onRequest', api.rateLimit({ max: MOST_REQUESTS, timeWindow: '1 minute' }));
  api.addHook('onRequest', (request) => admit(request, services));
  api.setErrorHandler((error, request, reply) => {
    const { status, code, message } = answerTo(error);
    if (status === 500)
      services.log.error({ err: error, route: request.routeOptions.url }, 'internal error in the API');
    if (error instanceof NotAuthenticated) {
      const { user, reason } = error;
      services.record('auth.failed', { user, via: 'api', client: { address: request.ip }, reason });
    }
    if (status === 401) reply.header('www-authenticate', ['Bearer', 'Basic realm="sluice"']);
    return reply.code(status).send({ code, message });
  });
  api.setNotFoundHandler({}, (_, reply) =>
    reply.code(404).send({ code: 'not_found', message: 'There is no such route.' }),
  );
  api.get('/openapi.json', { config: { audience: 'public' }, schema: { hide: true } }, () => api.swagger());
  addMeRoutes(api);
  addLoginRoutes(api, services);
  if (services.saml !== null) {
    const { addSamlRoutes } = await import('./routes/saml.ts');
    addSamlRoutes(api, services.saml, services);
  }
  addSessionRoutes(api, services);
  addRecordingRoutes(api, services);
  addApprovalRoutes(api, services);
  addApprovalEventRoutes(api, services);
  addChannelRoutes(api, services);
  if (services.outbox !== null && services.outbox.slack.length > 0) {
    const { addSlackRoutes } = await import('./routes/slack.ts');
    await addSlackRoutes(api, services);
  }
  addAgentRoutes(api, services);
  addCredentialRoutes(api, services);
  addReloadRoutes(api, services);
}

/** Lets a request through to its route. @throws ApiError, AccessUnknown */
async function admit(request: FastifyRequest, services: ApiServices): Promise<void> {
  const { audience } = request.routeOptions.config;
  if (request.is404) return;
  // Others could read along: what is said here is who may do what, and passwords.
  const isSecure = (request.socket as TLSSocket).encrypted === true || isLoopback(request.socket);
  if (!isSecure) throw new ApiError(403, 'tls_required', 'From other machines this is served over HTTPS only.');
  if (audience === 'public') return;
  if (isFromAnotherSite(request)) throw new ApiError(403, 'cross_site', 'A page of another site cannot ask for this.');
  const caller = await authenticate(request, services);
  request.caller = caller;
  // Of a login that Sluice gave a token for, it was noted when that began.
  // What is asked for here does not need it.
  if (caller.login === null) await services.lastLogins.note(caller.authenticated.identity).catch(() => undefined);
  if (mayUse(audience, caller.roles)) return;
  const { identity } = caller.authenticated;
  services.record('api.refused', {
    by: identity,
    client: { address: request.ip },
    method: request.method,
    route: request.routeOptions.url ?? '',
    needs: audience,
  });
  throw new ApiError(403, 'forbidden', `This is for those with the role "${audience}".`);
}

/**
 * A browser that has asked for a user and a password sends them with whatever any page has it send here: what is not only
 * read has to come from a page of our own, or from no browser (Fetch, 3.1: the Origin header).
 */
function isFromAnotherSite({ method, headers: { origin, host } }: FastifyRequest): boolean {
  return method !== 'GET' && origin !== undefined && URL.parse(origin)?.host !== host;
}

function answerTo(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof ApiError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) return { status: 400, code: 'invalid', message: error.message };
  if (error instanceof AccessUnknown) {
    const message = 'Sluice cannot find out now who may do what. Try again later.';
    return { status: 503, code: 'store_unavailable', message };
  }
  // The framework's own: a body that is no JSON, too long, too many requests.
  const { statusCode = 500, message } = error as { statusCode?: number; message: string };
  if (statusCode >= 500) return { status: 500, code: 'internal', message: 'Internal error in Sluice.' };
  return { status: statusCode, code: statusCode === 429 ? 'too_many_requests' : 'invalid', message };
}
