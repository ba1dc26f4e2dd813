import { z } from 'zod';
import type { LiveSession } from '../../gateway/gateway.ts';
import type { Identity } from '../../identity/identity.ts';
import {
  allIndexedSessions,
  type IndexedSession,
  indexedSessions,
  MOST_SESSIONS,
} from '../../recording/record-index/indexed-sessions.ts';
import { identitySchema, isoTime, isoTimeOrNull, reasonBody, shown, time } from '../schemas.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';
import { afterQuery, indexOf, timeQuery } from './recordings.ts';

const sessionSchema = z.object({
  session: z.string(),
  node: z.string().describe('The node it is, or was, at.'),
  state: z
    .enum(['active', 'ended', 'lost'])
    .describe('`lost` if its node was stopped without a chance to record its end.'),
  identity: identitySchema.nullable(),
  connection: z.string().nullable(),
  credential: z
    .string()
    .nullable()
    .describe('The short-lived credential it logged in with, if it did; of sessions at the node that answers.'),
  client: z.object({ address: z.string(), tls: z.boolean() }).nullable(),
  application: z.string().nullable().describe('What the client calls itself.'),
  started: time.nullable(),
  expires: time.nullable().describe('Of sessions at the node that answers.'),
  ended: time.nullable(),
  reason: z.string().nullable().describe('Why it ended.'),
  statements: z.int(),
  refused: z.int().nullable(),
  errors: z.int().nullable(),
});
type Session = z.output<typeof sessionSchema>;

export function addSessionRoutes(api: ApiServer, services: ApiServices): void {
  const { sessions, access, record, node } = services;
  api.route({
    method: 'GET',
    url: '/sessions',
    config: { audience: 'viewer' },
    schema: {
      summary:
        'Sessions, those that began last first: the open ones, at all nodes if they share a PostgreSQL store; or all that were recorded.',
      tags: ['sessions'],
      querystring: z.object({
        state: z.enum(['active', 'all']).default('active'),
        identity: z.string().min(1).max(500).optional().describe('Subject.'),
        connection: z.string().min(1).max(500).optional(),
        since: timeQuery.describe('Only those with a record at or after this time; for `all`.'),
        limit: z.coerce.number().int().min(1).max(MOST_SESSIONS).default(MOST_SESSIONS).describe('For `all`.'),
        after: afterQuery,
      }),
      response: { 200: z.object({ sessions: z.array(sessionSchema), next: z.string().nullable() }) },
    },
    handler: async (request) => {
      const { state, identity: subject, connection, since, limit, after } = request.query;
      if (state === 'all') {
        const index = await indexOf(services);
        const found = await indexedSessions(index, { subject, connection, since }, limit, after);
        return { sessions: found.sessions.map(shownIndexed), next: found.next };
      }
      const fits = (session: Session) =>
        (subject === undefined || session.identity?.subject === subject) &&
        (connection === undefined || session.connection === connection);
      const here = sessions().map((session) => shownLive(session, node));
      const index = await services.recordIndex();
      const elsewhere =
        index === null
          ? []
          : (await allIndexedSessions(index, { active: true })).filter((session) => session.node !== node);
      const all = [...here, ...elsewhere.map(shownIndexed)].filter(fits);
      return { sessions: all.sort((a, b) => (b.started ?? '').localeCompare(a.started ?? '')), next: null };
    },
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

function shownLive(session: LiveSession, node: string): Session {
  return {
    session: session.id,
    node,
    state: 'active',
    identity: shown(session.identity),
    connection: session.connection,
    credential: session.credential,
    client: { address: session.address, tls: session.tls },
    application: session.application,
    started: isoTime(session.startedAt),
    expires: isoTimeOrNull(session.expiresAt),
    ended: null,
    reason: null,
    statements: session.statements,
    refused: null,
    errors: null,
  };
}

function shownIndexed({ identity, client, started, ended, lastAt: _, ...rest }: IndexedSession): Session {
  return {
    ...rest,
    identity: identity === null ? null : shownIdentity(identity),
    client: client === null ? null : { ...client },
    started: isoTimeOrNull(started),
    ended: isoTimeOrNull(ended),
    credential: null,
    expires: null,
  };
}

function shownIdentity({ kind, groups, issuer, owner, subject }: NonNullable<IndexedSession['identity']>) {
  return {
    subject,
    kind: kind as Identity['kind'],
    groups: [...groups],
    ...(issuer !== null && { issuer }),
    ...(owner !== null && { owner }),
  };
}
