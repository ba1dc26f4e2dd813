import { createHash } from 'node:crypto';
import { z } from 'zod';
import { currentTime } from '../../store/clock.ts';
import type { Store } from '../../store/store.ts';

/** How long what came is remembered: longer than its signature is good for, milliseconds. */
const REMEMBERED_MS = 3_600_000;

const from = {
  team: z.object({ id: z.string() }),
  /** The workspace of the user, who may be from another one in a shared channel. */
  user: z.object({ id: z.string(), team_id: z.string() }),
};
const id = z.int().positive();
const place = z.object({ channel: z.string(), request: id });
const buttonValue = place.extend({ counted: z.boolean().default(false) });
const modalMetadata = place.extend({ decision: z.enum(['approve', 'reject']), unguarded: z.boolean().default(false) });

const payloadSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('block_actions'),
    ...from,
    trigger_id: z.string(),
    actions: z.array(z.object({ action_id: z.string(), value: z.string().optional() })).length(1),
  }),
  z.object({
    type: z.literal('view_submission'),
    ...from,
    view: z.object({
      callback_id: z.literal('vote'),
      private_metadata: z.string(),
      state: z.object({
        values: z.object({ reason: z.object({ reason: z.object({ value: z.string().nullable() }) }) }),
      }),
    }),
  }),
]);

/** What somebody does in Slack. */
export type Interaction = {
  readonly team: string;
  readonly user: string;
  readonly userTeam: string;
  /** Name of the channel in sluice.yaml. */
  readonly channel: string;
  readonly request: number;
  readonly decision: 'approve' | 'reject';
} & (
  | /** A modal may be opened with the trigger, for three seconds. */ {
      readonly by: 'button';
      readonly trigger: string;
      /** Its message had the number of rows, or there is none to be told. */
      readonly counted: boolean;
    }
  | {
      readonly by: 'modal';
      readonly reason: string;
      /** It said that rows are not counted. */
      readonly unguarded: boolean;
    }
);

/**
 * Reads the body of an interaction (https://docs.slack.dev/reference/interaction-payloads).
 * @returns `null` if nothing has to be done for it: a link was opened
 * @throws Error if it is none of those that Sluice's messages lead to
 */
export function readInteraction(body: string): Interaction | null {
  const payload = payloadSchema.parse(JSON.parse(new URLSearchParams(body).get('payload') ?? ''));
  const who = { team: payload.team.id, user: payload.user.id, userTeam: payload.user.team_id };
  if (payload.type === 'view_submission') {
    const { private_metadata: metadata, state } = payload.view;
    const reason = state.values.reason.reason.value ?? '';
    return { ...who, ...modalMetadata.parse(JSON.parse(metadata)), by: 'modal', reason };
  }
  const [{ action_id: action, value = '' }] = payload.actions as [{ action_id: string; value?: string }];
  if (action === 'open') return null;
  const decision = z.enum(['approve', 'reject']).parse(action);
  return { ...who, ...buttonValue.parse(JSON.parse(value)), decision, by: 'button', trigger: payload.trigger_id };
}

/** Notes that a body has come. @returns false if it has come before, here or at another node */
export async function isNew(store: Store, body: Uint8Array): Promise<boolean> {
  const at = currentTime();
  await store
    .deleteFrom('slack_interactions')
    .where('at', '<', at - REMEMBERED_MS)
    .execute();
  const { numInsertedOrUpdatedRows } = await store
    .insertInto('slack_interactions')
    .values({ id: createHash('sha256').update(body).digest('hex'), at })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}
