import { z } from 'zod';
import { MOST_FOUND, placeIn, type RecordIndex, searchRecords } from '../../recording/record-index/search.ts';
import { shownRecord } from '../../recording/record-index/shown-record.ts';
import { ApiError } from '../api-error.ts';
import { time } from '../schemas.ts';
import type { ApiServer, ApiServices } from '../services.ts';

export const recordedIdentitySchema = z.object({
  subject: z.string(),
  kind: z.string().nullable(),
  issuer: z.string().nullable(),
  owner: z.string().nullable(),
});

const recordSchema = z.object({
  node: z.string().describe('Whose journal it is in.'),
  seq: z.int().describe('Its number there; that of the attempt for a statement.'),
  at: time,
  event: z.string().describe('`statement`, or the event of another record.'),
  session: z.string().nullable(),
  statement: z.int().nullable().describe('Number of the statement within the session.'),
  identity: recordedIdentitySchema.nullable(),
  connection: z.string().nullable(),
  text: z
    .string()
    .nullable()
    .describe(
      'The first 2,000 characters, without what records leave out; of other records, what else they say, as JSON.',
    ),
  fingerprint: z.string().nullable(),
  kind: z.string().nullable(),
  effects: z.array(z.string()),
  verdict: z.string().nullable(),
  rules: z.array(z.string()),
  masks: z.array(z.string()),
  trace: z.string().nullable().describe('Trace id that the client claims.'),
  approval: z.int().nullable().describe('Number of the request for approval.'),
  status: z.string().nullable().describe('`null` while no outcome is recorded.'),
  sqlstate: z.string().nullable(),
  refused_by: z.string().nullable(),
  rows: z.int().nullable(),
  affected: z.int().nullable(),
  bytes: z.int().nullable(),
  ms: z.number().nullable(),
});

const lagSchema = z
  .object({
    records: z.int(),
    seconds: z.number().describe('Since the oldest of them was written.'),
  })
  .describe("How many of this node's records the index does not have yet; `null` before that is known.");

/** Where a page of the index goes on. */
export const afterQuery = z
  .string()
  .optional()
  .transform((text, context) => {
    try {
      return text === undefined ? null : placeIn(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  })
  .describe('The `next` of the page before.');

export const timeQuery = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .optional();

export function addRecordingRoutes(api: ApiServer, services: ApiServices): void {
  const word = z.string().min(1).max(500).optional();
  api.route({
    method: 'GET',
    url: '/recordings',
    config: { audience: 'auditor' },
    schema: {
      summary: 'Searches what was recorded, newest first: at all nodes, if they share a PostgreSQL store.',
      tags: ['recordings'],
      querystring: z.object({
        identity: word.describe('Subject.'),
        kind: z.enum(['human', 'agent', 'service']).optional(),
        owner: word,
        session: word,
        connection: word,
        table: word.describe('A table, function or other object, with or without its schema.'),
        verdict: z.enum(['allow', 'hold', 'deny']).optional(),
        rule: word.describe('One that matched, or refused.'),
        fingerprint: word,
        trace: word.describe('Trace id, 32 hexadecimal digits.'),
        event: word.default('statement').describe('`statement`, the event of other records, or `any`.'),
        status: z.enum(['ok', 'error', 'refused', 'skipped', 'lost']).optional(),
        sqlstate: word,
        since: timeQuery,
        until: timeQuery,
        text: word.describe(
          'In the text as it is kept here, in whatever case. Read the pages up to the last: they may be empty.',
        ),
        limit: z.coerce.number().int().min(1).max(MOST_FOUND).default(50),
        after: afterQuery,
      }),
      response: {
        200: z.object({ records: z.array(recordSchema), next: z.string().nullable(), lag: lagSchema.nullable() }),
      },
    },
    handler: async (request) => {
      const { identity: subject, table: object, event, limit, after, ...rest } = request.query;
      const filter = { ...rest, subject, object, event: event === 'any' ? undefined : event };
      // Asked first: what is behind now may be there when it is searched, and not the other way round.
      const lag = services.indexLag();
      const { records, next } = await searchRecords(await indexOf(services), filter, limit, after);
      return { records: records.map(shownRecord), next, lag };
    },
  });
}

/** @throws ApiError where there is none */
export async function indexOf({ recordIndex }: Pick<ApiServices, 'recordIndex'>): Promise<RecordIndex> {
  const index = await recordIndex();
  if (index === null) throw new ApiError(409, 'no_index', 'Records are not indexed here: recording.index is false.');
  return index;
}
