/** The outcome for one statement. `hold` joins with the approvals. */
export type Verdict = AllowVerdict | DenyVerdict;

export interface AllowVerdict {
  readonly action: 'allow';
  /** Ids of the rules that matched, sorted. */
  readonly rules: readonly string[];
  /** Ids of shadow rules that would have changed the verdict, sorted. */
  readonly shadow: readonly string[];
}

export interface DenyVerdict {
  readonly action: 'deny';
  readonly rules: readonly string[];
  readonly shadow: readonly string[];
  /** The rule the refusal names; `default` when the connection's default refused. */
  readonly rule: string;
  /** One sentence for the client: what was refused. */
  readonly message: string;
  /** One sentence for the client: what to do instead. Never names a setting to change. */
  readonly hint: string;
}
