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
  const byId = new Map(identities.map((identity) => [identityId(identity), identity]));
  if (byId.size === 0) return;
  await db
    .insertInto('identities')
    .values([...byId].map(([id, identity]) => newRow(id, identity)))
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        kind: eb.ref('excluded.kind'),
        owner: eb.ref('excluded.owner'),
        groups: eb.ref('excluded.groups'),
      })),
    )
    .execute();
  await enlistOwners(db, identities);
}

/** So that whoever answers for an agent can be locked before they have been here themselves. */
async function enlistOwners(db: Kysely<Tables>, identities: readonly Identity[]): Promise<void> {
  const owners = new Map<string, Identity>();
  for (const { owner, issuer } of identities) {
    if (owner === undefined) continue;
    const identity: Identity = { subject: owner, kind: 'human', groups: [], ...(issuer !== undefined && { issuer }) };
    owners.set(identityId(identity), identity);
  }
  if (owners.size === 0) return;
  await db
    .insertInto('identities')
    .values([...owners].map(([id, owner]) => newRow(id, owner)))
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}

function newRow(id: string, identity: Identity) {
  const counts = { sessions: 0, allowed: 0, denied: 0, held: 0 };
  return { id, ...identityColumns(identity), state: 'active', first_seen: Date.now(), ...counts };
}
