/** Shapes that several routes answer with. */

import { z } from 'zod';
import type { Identity } from '../identity/identity.ts';

export const identitySchema = z.object({
  subject: z.string(),
  kind: z.enum(['human', 'agent', 'service']),
  groups: z.array(z.string()),
  issuer: z.string().optional().describe('The provider that vouches; left out for users of sluice.yaml.'),
  owner: z.string().optional().describe('Who answers for it.'),
});

/** As answers have it: lists that may be changed by nobody are lists nevertheless. */
export function shown(identity: Identity): z.output<typeof identitySchema> {
  return { ...identity, groups: [...identity.groups] };
}

export const reasonBody = z
  .object({
    reason: z.string().max(500).default('').describe('Why; the client that is ended sees it, and the record.'),
  })
  .nullish()
  .transform((body) => body ?? { reason: '' });

export const time = z.iso.datetime();

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
