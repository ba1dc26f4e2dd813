import { z } from 'zod';
import { type ApiServer, type ApiServices, callerOf } from '../api.ts';
import { identitySchema, isoTime, isoTimeOrNull, reasonBody, shown, time } from '../schemas.ts';

const sessionSchema = z.object({
  session: z.string(),
  identity: identitySchema,
  connection: z.string(),
  credential: z.string().nullable().describe('The short-lived credential it logged in with, if it did.'),
  client: z.object({ address: z.string(), tls: z.boolean() }),
  application: z.string().nullable().describe('What the client calls itself.'),
  started: time,
  expires: time.nullable(),
  statements: z.int(),
});

export function addSessionRoutes(api: ApiServer, { sessions, access, record }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/sessions',
    config: { audience: 'viewer' },
    schema: {
      summary: 'The sessions that are open on the node that answers.',
      tags: ['sessions'],
      response: { 200: z.object({ sessions: z.array(sessionSchema) }) },
    },
    handler: () => ({
      sessions: sessions().map((session) => ({
        session: session.id,
        identity: shown(session.identity),
        connection: session.connection,
        credential: session.credential,
        client: { address: session.address, tls: session.tls },
        application: session.application,
        started: isoTime(session.startedAt),
        expires: isoTimeOrNull(session.expiresAt),
        statements: session.statements,
      })),
    }),
  });
  api.route({
    method: 'POST',
    url: '/sessions/:session/kill',
    config: { audience: 'admin' },
    schema: {
      summary: 'Ends a session, on whichever node it is: what it runs is cancelled, its transaction rolled back.',
      tags: ['sessions'],
      params: z.object({ session: z.string().regex(/^[0-9a-f]{16}$/, 'is no id of a session') }),
      body: reasonBody,
      response: {
        202: z.object({ here: z.boolean().describe('True if the node that answers had it, and has ended it.') }),
      },
    },
    handler: async (request, reply) => {
      const { session } = request.params;
      const { reason } = request.body;
      const by = callerOf(request).authenticated.identity;
      const here = sessions().some(({ id }) => id === session);
      record('session.killed', { session, by, reason });
      await access.kill(session, by.subject, reason);
      return reply.code(202).send({ here });
    },
  });
}
