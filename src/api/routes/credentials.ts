import { z } from 'zod';
import { formatAddress } from '../../config/address.ts';
import type { Credential } from '../../identity/credentials.ts';
import { type Identity, identityId } from '../../identity/identity.ts';
import { ApiError, notFound } from '../api-error.ts';
import type { Caller } from '../authentication.ts';
import { mayUse } from '../roles.ts';
import { identitySchema, isoTime, isoTimeOrNull, reasonBody, shown, time } from '../schemas.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';

const USUAL_TTL_S = 3600;
/** Most that one identity may have at a time. */
const MOST_LIVE = 500;
const LEAST_TTL_S = 10;

const credentialSchema = z.object({
  credential: z.string().describe('The user name to log in with.'),
  identity: identitySchema.describe('Who its sessions are.'),
  connections: z.array(z.string()).nullable().describe('The connections it is for; null for all.'),
  created: time,
  expires: time,
  state: z.enum(['live', 'expired', 'revoked']),
  revoked: z.object({ at: time, by: z.string(), reason: z.string() }).nullable(),
  first_used: time.nullable(),
  last_used: time.nullable(),
  uses: z.int().describe('Sessions that it began.'),
});

const newCredential = z.object({
  connections: z.array(z.string()).min(1).optional().describe('Names of the connections it is for; left out, all.'),
  ttl: z.int().min(LEAST_TTL_S).default(USUAL_TTL_S).describe('Seconds it lives; at most as long as your login.'),
  agent: z
    .object({
      name: z
        .string()
        .regex(/^[A-Za-z0-9_.-]{1,100}$/, 'must be 1 to 100 of letters, digits, "_", "-" and "."')
        .describe('Its sessions are `YOU/NAME`, of kind agent, and you are their owner.'),
      groups: z.array(z.string()).default([]).describe('Which of your groups it is in.'),
    })
    .optional()
    .describe('Make it for an agent of yours; left out, it is for yourself.'),
});

export function addCredentialRoutes(api: ApiServer, services: ApiServices): void {
  const { credentials, inventory, config, listening, access, record, recordingFailure } = services;

  /** Rules go by the subject: an agent must not get one that a provider, or sluice.yaml, has given to another. */
  async function isSomebodyElse({ subject, issuer, owner }: Identity): Promise<boolean> {
    const known = await inventory.find(subject);
    return known.some(({ identity }) => identity.owner !== owner || identity.issuer !== issuer);
  }

  api.route({
    method: 'POST',
    url: '/credentials',
    config: { audience: 'anyone' },
    schema: {
      summary: 'Makes a short-lived user name and secret that any driver can log in to a database with.',
      tags: ['credentials'],
      body: newCredential,
      response: {
        201: z.object({
          credential: credentialSchema,
          secret: z.string().describe('The password; it is told this once.'),
          connections: z.array(
            z.object({
              name: z.string(),
              protocol: z.enum(['postgres', 'mysql']),
              address: z.string(),
              tls: z.boolean(),
            }),
          ),
        }),
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { connections = null, ttl, agent } = request.body;
      const unknown = connections?.find((name) => !config.connections.some((connection) => connection.name === name));
      if (unknown !== undefined) throw new ApiError(400, 'invalid', `There is no connection "${unknown}".`);
      const by = caller.authenticated.identity;
      if (recordingFailure() !== null) {
        throw new ApiError(503, 'cannot_record', 'Sluice cannot record that a credential is made: try again later.');
      }
      const own = await credentials.list({ createdBy: identityId(by), live: true }, MOST_LIVE);
      if (own.length >= MOST_LIVE) {
        throw new ApiError(429, 'too_many_credentials', `You have ${MOST_LIVE} credentials: revoke some first.`);
      }
      const identity = agent === undefined ? by : agentOf(by, agent);
      if (agent !== undefined && (await isSomebodyElse(identity))) {
        throw new ApiError(409, 'taken', `"${identity.subject}" is somebody else already: take another name.`);
      }
      const expiresAt = Math.min(
        Date.now() + Math.min(ttl * 1000, config.longestCredentialMs),
        caller.authenticated.expiresAt ?? Number.POSITIVE_INFINITY,
      );
      const { credential, secret } = await credentials.create({
        identity,
        connections,
        expiresAt,
        by,
        login: caller.login,
      });
      record('credential.created', {
        credential: credential.id,
        identity,
        connections,
        expires: isoTime(expiresAt),
        by,
        client: { address: request.ip },
      });
      return reply.code(201).send({
        credential: shownCredential(credential),
        secret,
        connections: config.connections
          .filter(({ name }) => connections?.includes(name) ?? true)
          .flatMap(({ name, protocol }) => {
            const address = listening[protocol];
            return address === null
              ? []
              : [{ name, protocol, address: formatAddress(address), tls: config.tls !== null }];
          }),
      });
    },
  });

  api.route({
    method: 'GET',
    url: '/credentials',
    config: { audience: 'anyone' },
    schema: {
      summary: 'The credentials that you made, newest first; for auditors, all.',
      tags: ['credentials'],
      querystring: z.object({
        live: z.stringbool().default(false).describe('Only those that can be used now.'),
        all: z.stringbool().default(false).describe('Those of others, too.'),
      }),
      response: { 200: z.object({ credentials: z.array(credentialSchema) }) },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { live, all } = request.query;
      if (all && !mayUse('auditor', caller.roles)) {
        throw new ApiError(403, 'forbidden', 'The credentials of others are for those with the role "auditor".');
      }
      const own = all ? {} : { createdBy: identityId(caller.authenticated.identity) };
      return { credentials: (await credentials.list({ ...own, live })).map(shownCredential) };
    },
  });

  api.route({
    method: 'POST',
    url: '/credentials/:credential/revoke',
    config: { audience: 'anyone' },
    schema: {
      summary: 'Ends a credential that you made, and the sessions that logged in with it; for administrators, any.',
      tags: ['credentials'],
      params: z.object({ credential: z.string().max(100) }),
      body: reasonBody,
      response: { 200: z.object({ revoked: z.boolean().describe('False if it had ended before.') }) },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const id = request.params.credential;
      const { reason } = request.body;
      const by = caller.authenticated.identity;
      const [credential] = await credentials.list({ id, ...ownUnlessAdmin(caller) });
      if (credential === undefined) throw notFound(`credential ${id} of yours`);
      const revoked = await credentials.revoke({ id }, by.subject, reason);
      if (revoked.length > 0)
        record('credential.revoked', { credential: id, identity: credential.identity, by, reason });
      await access.look();
      return { revoked: revoked.length > 0 };
    },
  });
}

function ownUnlessAdmin({ roles, authenticated }: Caller): { readonly createdBy?: string } {
  return mayUse('admin', roles) ? {} : { createdBy: identityId(authenticated.identity) };
}

/** Its name begins with that of its owner: nobody can make it pass for an agent of somebody else. */
function agentOf(
  by: Identity,
  { name, groups }: { readonly name: string; readonly groups: readonly string[] },
): Identity {
  if (by.kind === 'agent') throw new ApiError(403, 'forbidden', 'An agent gets credentials for itself only.');
  const foreign = groups.find((group) => !by.groups.includes(group));
  if (foreign !== undefined) throw new ApiError(403, 'forbidden', `You are not in the group "${foreign}".`);
  return {
    subject: `${by.subject}/${name}`,
    kind: 'agent',
    groups,
    owner: by.owner ?? by.subject,
    ...(by.issuer !== undefined && { issuer: by.issuer }),
  };
}

function shownCredential(credential: Credential): z.output<typeof credentialSchema> {
  const { revokedAt, expiresAt, connections } = credential;
  return {
    credential: credential.id,
    identity: shown(credential.identity),
    connections: connections === null ? null : [...connections],
    created: isoTime(credential.createdAt),
    expires: isoTime(expiresAt),
    state: revokedAt !== null ? 'revoked' : expiresAt <= Date.now() ? 'expired' : 'live',
    revoked:
      revokedAt === null
        ? null
        : { at: isoTime(revokedAt), by: credential.revokedBy ?? '', reason: credential.revokedReason ?? '' },
    first_used: isoTimeOrNull(credential.firstUsed),
    last_used: isoTimeOrNull(credential.lastUsed),
    uses: credential.uses,
  };
}
