import { z } from 'zod';
import type { Identity } from '../../identity/identity.ts';
import type { InventoryEntry, RecordedUse, State } from '../../identity/inventory.ts';
import { ApiError, notFound } from '../api-error.ts';
import { identitySchema, isoTime, isoTimeOrNull, reasonBody, shown, time } from '../schemas.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';

const DAY_MS = 24 * 3_600_000;
const KINDS = ['agent', 'service', 'human'] as const;

const grantSchema = z.object({
  connection: z.string(),
  rule: z
    .string()
    .describe('A rule that allows it something there, or `default`, where the connection allows what no rule refuses.'),
});

const agentSchema = z.object({
  id: z.string(),
  identity: identitySchema,
  state: z.enum(['active', 'locked', 'retired']),
  state_changed: z.object({ at: time, by: z.string(), reason: z.string() }).nullable(),
  first_seen: time,
  first_used: time.nullable(),
  last_used: time.nullable(),
  sessions: z.int(),
  statements: z.object({ allowed: z.int(), held: z.int(), denied: z.int() }),
  clients: z.array(z.string()).describe('What the clients it worked through call themselves.'),
  credentials: z.object({
    live: z.int(),
    oldest: time.nullable().describe('When the oldest that can be used now was made.'),
    last_expiry: time.nullable(),
    lasting: z.boolean().describe('True if it can also log in as a user of sluice.yaml, which does not end.'),
  }),
  stale: z.array(z.string()).describe('Why it looks as if nobody needs it any more; empty if it does not.'),
  unused_grants: z.array(grantSchema).describe('What it may do and has not done in the time that was asked about.'),
});

const useSchema = z.object({ connection: z.string(), name: z.string(), count: z.int(), first: time, last: time });

const detailSchema = agentSchema.extend({
  grants: z.array(grantSchema.extend({ last: time.nullable() })).describe('What it may do, and when it last did.'),
  effects: z.array(useSchema).describe('What it did: effects on objects, the most frequent first.'),
  rules: z.array(useSchema).describe('Rules that matched its statements.'),
  clients_used: z.array(useSchema),
});

const days = z.coerce.number().min(0).max(3650).default(30).describe('How long ago a use still counts, in days.');
const which = z.object({ agent: z.string().min(1).max(300).describe('Its id, or its subject where only one has it.') });

export function addAgentRoutes(api: ApiServer, services: ApiServices): void {
  const { inventory, access, record } = services;

  api.route({
    method: 'GET',
    url: '/agents',
    config: { audience: 'viewer' },
    schema: {
      summary: 'The agents there are: owner, age, last use, verdicts, what is stale and what they may do and do not.',
      tags: ['agents'],
      querystring: z.object({
        kind: z
          .enum([...KINDS, 'all'])
          .optional()
          .describe('Left out: agents and services.'),
        days,
        stale: z.stringbool().default(false).describe('Only those that look as if nobody needs them any more.'),
        over_privileged: z.stringbool().default(false).describe('Only those that may do what they do not.'),
      }),
      response: { 200: z.object({ agents: z.array(agentSchema) }) },
    },
    handler: async (request) => {
      const { kind, days, stale, over_privileged } = request.query;
      const kinds = kind === undefined ? (['agent', 'service'] as const) : kind === 'all' ? KINDS : [kind];
      const entries = await inventory.list(kinds);
      const ids = entries.map(({ id }) => id);
      const uses = await inventory.uses(ids, ['rule', 'client']);
      const agents = entries
        .map((entry) => shownAgent(entry, uses.get(entry.id) ?? [], services, days))
        .filter((agent) => !stale || (agent.stale.length > 0 && agent.state !== 'retired'))
        .filter((agent) => !over_privileged || (agent.unused_grants.length > 0 && agent.state === 'active'));
      return { agents };
    },
  });

  api.route({
    method: 'GET',
    url: '/agents/:agent',
    config: { audience: 'viewer' },
    schema: {
      summary: 'One agent: what it may do, and what it did.',
      tags: ['agents'],
      params: which,
      querystring: z.object({ days }),
      response: { 200: detailSchema },
    },
    handler: async (request) => {
      const entry = await theOne(request.params.agent);
      const uses = (await inventory.uses([entry.id], ['rule', 'client', 'effect'])).get(entry.id) ?? [];
      const of = (aspect: RecordedUse['aspect']) =>
        uses
          .filter((use) => use.aspect === aspect)
          .map(({ connection, name, count, firstAt, lastAt }) => {
            return { connection, name, count, first: isoTime(firstAt), last: isoTime(lastAt) };
          });
      return {
        ...shownAgent(entry, uses, services, request.query.days),
        grants: grantsOf(entry.identity, services).map((grant) => ({
          ...grant,
          last: isoTimeOrNull(lastUseOf(grant, uses)),
        })),
        effects: of('effect'),
        rules: of('rule'),
        clients_used: of('client'),
      };
    },
  });

  const changes = [
    ['lock', 'locked', 'Locks it: it cannot log in, and its sessions end; so does what it owns.'],
    ['unlock', 'active', 'Takes a lock back.'],
    ['retire', 'retired', 'Ends it for good, with its credentials.'],
  ] as const satisfies readonly (readonly [string, State, string])[];
  for (const [verb, state, summary] of changes) {
    api.route({
      method: 'POST',
      url: `/agents/:agent/${verb}`,
      config: { audience: 'admin' },
      schema: {
        summary,
        tags: ['agents'],
        params: which,
        body: reasonBody,
        response: {
          200: z.object({ id: z.string(), subject: z.string(), state: z.enum(['active', 'locked', 'retired']) }),
        },
      },
      handler: async (request) => {
        const { id, identity } = await theOne(request.params.agent);
        const { reason } = request.body;
        const by = callerOf(request).authenticated.identity;
        record(`identity.${state === 'active' ? 'unlocked' : state}`, { identity, by, reason });
        if (!(await access.setState(id, state, by.subject, reason))) {
          throw new ApiError(409, 'retired', `${identity.subject} is retired, which is for good.`);
        }
        return { id, subject: identity.subject, state };
      },
    });
  }

  async function theOne(idOrSubject: string): Promise<InventoryEntry> {
    const [entry, another] = await inventory.find(idOrSubject);
    if (entry === undefined) throw notFound(`agent ${idOrSubject}`);
    if (another === undefined) return entry;
    const ids = (await inventory.find(idOrSubject)).map(
      ({ id, identity }) => `${id} (${identity.issuer ?? 'sluice.yaml'})`,
    );
    throw new ApiError(
      409,
      'ambiguous',
      `Several have the name ${idOrSubject}: name one by its id, ${ids.join(', ')}.`,
    );
  }
}

type Grant = z.output<typeof grantSchema>;

/** What it may do: the rules that allow it something, by connection. */
function grantsOf(identity: Identity, { config, grantsFor }: ApiServices): Grant[] {
  return config.connections.flatMap((connection) =>
    grantsFor(identity, connection).map((rule) => ({ connection: connection.name, rule })),
  );
}

/** A connection that allows everything by default was made use of by any statement there. */
function lastUseOf({ connection, rule }: Grant, uses: readonly RecordedUse[]): number | null {
  const own = uses.filter(
    (use) =>
      use.connection === connection &&
      (rule === 'default' ? use.aspect === 'client' : use.aspect === 'rule' && use.name === rule),
  );
  return own.length === 0 ? null : Math.max(...own.map(({ lastAt }) => lastAt));
}

function shownAgent(
  entry: InventoryEntry,
  uses: readonly RecordedUse[],
  services: ApiServices,
  days: number,
): z.output<typeof agentSchema> {
  const { credentials } = entry;
  const since = Date.now() - days * DAY_MS;
  return {
    id: entry.id,
    identity: shown(entry.identity),
    state: entry.state,
    state_changed:
      entry.stateAt === null
        ? null
        : { at: isoTime(entry.stateAt), by: entry.stateBy ?? '', reason: entry.stateReason ?? '' },
    first_seen: isoTime(entry.firstSeen),
    first_used: isoTimeOrNull(entry.firstUsed),
    last_used: isoTimeOrNull(entry.lastUsed),
    sessions: entry.sessions,
    statements: { allowed: entry.allowed, held: entry.held, denied: entry.denied },
    clients: [...new Set(uses.filter(({ aspect }) => aspect === 'client').map(({ name }) => name))].sort(),
    credentials: {
      live: credentials.live,
      oldest: isoTimeOrNull(credentials.oldest),
      last_expiry: isoTimeOrNull(credentials.lastExpiry),
      lasting: services.isUser(entry.identity),
    },
    stale: staleness(entry, since, days),
    unused_grants: grantsOf(entry.identity, services).filter((grant) => (lastUseOf(grant, uses) ?? 0) < since),
  };
}

function staleness({ lastUsed, credentials }: InventoryEntry, since: number, days: number): string[] {
  const reasons = credentials.unused.map((id) => `credential ${id} was never used`);
  if (lastUsed === null) reasons.push('never used');
  else if (lastUsed < since) reasons.push(`not used in ${days} days`);
  return reasons;
}
