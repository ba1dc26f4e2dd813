import { hash } from 'node:crypto';

/** Who is behind a session, from verified material only. */
export interface Identity {
  readonly subject: string;
  readonly kind: 'human' | 'agent' | 'service';
  readonly groups: readonly string[];
  /** The OpenID provider that says so; without it, Sluice's own configuration does. */
  readonly issuer?: string;
  /** On whose behalf it acts: the person who answers for it. */
  readonly owner?: string;
}

/** An identity that has proved who it is. */
export interface Authenticated {
  readonly identity: Identity;
  /** When the proof ends, and every session that began with it, milliseconds since the epoch; `null` for never. */
  readonly expiresAt: number | null;
  /** The short-lived credential it was proved with, if it was. */
  readonly credential?: CredentialUse | undefined;
}

export interface CredentialUse {
  readonly id: string;
  /** Names of the connections it is for; `null` for all. */
  readonly connections: readonly string[] | null;
  /** Id of the identity that made it: it ends with that one. */
  readonly by: string;
}

/** Names an identity in the store and in addresses: 20 characters, the same on every node. */
export function identityId({ issuer = '', subject }: Pick<Identity, 'issuer' | 'subject'>): string {
  return hash('sha256', `${issuer}\0${subject}`, 'base64url').slice(0, 20);
}
