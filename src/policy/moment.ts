/** What a verdict can depend on beside facts, identity and connection: what holds at one execution of a statement. */
export interface Moment {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** What the client says about itself, not verified: `application_name`, `intent`, keys of sqlcommenter comments, query attributes. */
  readonly claimed: ReadonlyMap<string, string>;
  /** Bind values as text, in order; `null` for NULL. */
  readonly binds: readonly (string | null)[];
  readonly session: SessionState;
  /** What the server expects of the statement (EXPLAIN); `null` if that is not known, `cost` is absent if it tells none. */
  readonly estimate: { readonly rows: number; readonly cost?: number } | null;
}

export interface SessionState {
  readonly id: string;
  /** Where the client connects from, without port. */
  readonly address: string;
  readonly tls: boolean;
  readonly inTransaction: boolean;
  /** Settings the server reports or that were set, names in lower case. */
  readonly settings: ReadonlyMap<string, string>;
}
