import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type DeliveryEntry, listDeliveries, sendAgain } from '../../approvals/deliveries.ts';
import { ApiError } from '../api-error.ts';
import { isoTime, isoTimeOrNull, time } from '../schemas.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';

const MOST_LISTED = 500;
/** How long a channel has to take a test, milliseconds. */
const TEST_MS = 10_000;

const deliverySchema = z.object({
  delivery: z.string().describe('Its id; receivers of webhooks get it as `webhook-id`.'),
  channel: z.string(),
  request: z.int(),
  notice: z.string(),
  state: z.enum(['pending', 'delivered', 'dead']).describe('`dead`: it was given up.'),
  attempts: z.int(),
  due: time.nullable().describe('When it is sent next.'),
  created: time,
  ended: time.nullable(),
  failure: z.string().nullable().describe('Why the last attempt failed.'),
});

/** What channels are told of requests for approval, and how that went. */
export function addChannelRoutes(api: ApiServer, { store, outbox, record }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/approvals/deliveries',
    config: { audience: 'auditor' },
    schema: {
      summary: 'What channels were or are to be told, the newest first.',
      tags: ['approvals'],
      querystring: z.object({
        state: z.enum(['pending', 'delivered', 'dead', 'undelivered', 'all']).default('undelivered'),
        most: z.coerce.number().int().min(1).max(MOST_LISTED).default(100),
      }),
      response: { 200: z.object({ deliveries: z.array(deliverySchema) }) },
    },
    handler: async ({ query: { state, most } }) => {
      const states = state === 'all' ? [] : state === 'undelivered' ? (['pending', 'dead'] as const) : [state];
      return { deliveries: (await listDeliveries(store, states, most)).map(view) };
    },
  });
  api.route({
    method: 'POST',
    url: '/approvals/deliveries/:delivery/retry',
    config: { audience: 'admin' },
    schema: {
      summary: 'Sends again what was given up.',
      tags: ['approvals'],
      params: z.object({ delivery: z.string() }),
      response: { 200: z.object({ delivery: z.string() }) },
    },
    handler: async (request) => {
      const { delivery } = request.params;
      if (!(await sendAgain(store, delivery))) throw new ApiError(404, 'not_found', 'Nothing of this id was given up.');
      record('approval.redelivered', { by: callerOf(request).authenticated.identity, delivery });
      return { delivery };
    },
  });
  api.route({
    method: 'POST',
    url: '/approvals/channels/:channel/test',
    config: { audience: 'admin' },
    schema: {
      summary: 'Tells a channel that this is a test, and says what came of it.',
      tags: ['approvals'],
      params: z.object({ channel: z.string() }),
      response: { 200: z.object({ channel: z.string() }) },
    },
    handler: async ({ params }) => {
      const channel = outbox?.channels.find(({ name }) => name === params.channel);
      if (channel === undefined) throw new ApiError(404, 'not_found', 'There is no channel of this name.');
      const id = `msg_${randomBytes(16).toString('hex')}`;
      await channel.test(id, AbortSignal.timeout(TEST_MS)).catch((error: Error) => {
        const reason = error.name === 'TimeoutError' ? 'there is no answer' : error.message;
        throw new ApiError(502, 'not_delivered', `It cannot be told: ${reason}.`);
      });
      return { channel: channel.name };
    },
  });
}

function view({ id, event, dueAt, createdAt, endedAt, ...entry }: DeliveryEntry): z.input<typeof deliverySchema> {
  const times = { due: isoTimeOrNull(dueAt), created: isoTime(createdAt), ended: isoTimeOrNull(endedAt) };
  return { delivery: id, notice: event, ...entry, ...times };
}
