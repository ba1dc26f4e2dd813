import type { Kysely } from 'kysely';
import type { Tables } from '../store/tables.ts';
import { type Identity, identityId } from './identity.ts';

/** The columns of the store that say who it is. */
interface IdentityColumns {
  readonly issuer: string;
  readonly subject: string;
  readonly kind: string;
  readonly owner: string | null;
  readonly groups: string;
}

export function identityOf({ issuer, subject, kind, owner, groups }: IdentityColumns): Identity {
  return {
    subject,
    kind: kind as Identity['kind'],
    groups: JSON.parse(groups) as string[],
    ...(issuer !== '' && { issuer }),
    ...(owner !== null && { owner }),
  };
}

export function identityColumns(identity: Identity): IdentityColumns {
  const { issuer = '', subject, kind, owner = null, groups } = identity;
  return { issuer, subject, kind, owner, groups: JSON.stringify(groups) };
}

/** Has identities in the inventory, with what is known of them now. */
export async function enlist(db: Kysely<Tables>, identities: readonly Identity[]): Promise<void> {
  const rows = new Map(
    identities.map((identity) => {
      const id = identityId(identity);
      return [id, { id, ...identityColumns(identity), first_seen: Date.now() }] as const;
    }),
  );
  if (rows.size === 0) return;
  await db
    .insertInto('identities')
    .values([...rows.values()].map((row) => ({ ...row, state: 'active', sessions: 0, allowed: 0, denied: 0, held: 0 })))
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        kind: eb.ref('excluded.kind'),
        owner: eb.ref('excluded.owner'),
        groups: eb.ref('excluded.groups'),
      })),
    )
    .execute();
}
