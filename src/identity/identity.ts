/** Who is behind a session, from verified material only. */
export interface Identity {
  readonly subject: string;
  readonly kind: 'human' | 'agent' | 'service';
  readonly groups: readonly string[];
}
