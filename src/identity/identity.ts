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
}
