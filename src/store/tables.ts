/** The tables of the store. Times are milliseconds since the epoch; lists and objects are JSON text. */

/** Everybody who has logged in, was given a credential, or is a user of sluice.yaml. */
export interface IdentitiesTable {
  /** Made of issuer and subject, see `identityId`. */
  readonly id: string;
  /** Empty where Sluice's own configuration vouches. */
  readonly issuer: string;
  readonly subject: string;
  readonly kind: string;
  readonly owner: string | null;
  readonly groups: string;
  /** `active`, `locked` or `retired`. */
  readonly state: string;
  readonly state_reason: string | null;
  /** Subject of who last changed the state. */
  readonly state_by: string | null;
  readonly state_at: number | null;
  readonly first_seen: number;
  readonly first_used: number | null;
  readonly last_used: number | null;
  readonly sessions: number;
  readonly allowed: number;
  readonly denied: number;
  readonly held: number;
}

/** What an identity did: rules that let statements pass or refused them, effects, drivers. */
export interface UsesTable {
  readonly identity: string;
  readonly connection: string;
  /** `rule`, `effect` or `client`. */
  readonly aspect: string;
  readonly name: string;
  readonly count: number;
  readonly first_at: number;
  readonly last_at: number;
}

/** Short-lived credentials. The secret is nowhere, only what a login with it is checked against. */
export interface CredentialsTable {
  /** The user name clients log in with. */
  readonly id: string;
  readonly identity: string;
  readonly issuer: string;
  readonly subject: string;
  readonly kind: string;
  readonly owner: string | null;
  readonly groups: string;
  /** Names of the connections it is for; `null` for all. */
  readonly connections: string | null;
  readonly scram: string;
  readonly caching_sha2: string;
  /** SHA256(SHA256(secret)), hexadecimal: with it, clients need not send the secret itself. */
  readonly caching_sha2_fast: string;
  readonly native: string;
  /** The login it was made in, see {@link LoginsTable}; `null` where that has no row. */
  readonly login: string | null;
  /** Id of the identity that made it. */
  readonly created_by: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly revoked_at: number | null;
  readonly revoked_by: string | null;
  readonly revoked_reason: string | null;
  readonly first_used: number | null;
  readonly last_used: number | null;
  readonly uses: number;
}

/** Logins at the HTTP API that Sluice itself gives a token for. */
export interface LoginsTable {
  readonly id: string;
  /** SHA-256 of the token's secret part, hexadecimal. */
  readonly secret: string;
  readonly identity: string;
  readonly issuer: string;
  readonly subject: string;
  readonly kind: string;
  readonly owner: string | null;
  readonly groups: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly ended_at: number | null;
}

/** Logins by SAML that have begun, and become a login of Sluice's own. */
export interface SamlRequestsTable {
  /** Of the AuthnRequest. */
  readonly id: string;
  /** Where the browser brings the code, and what comes with it. */
  readonly redirect: string;
  readonly state: string;
  /** SHA-256, in base64url, of the verifier that has to come with the code. */
  readonly challenge: string;
  readonly expires_at: number;
  /** From here on `null` until the provider has answered. */
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly kind: string | null;
  readonly owner: string | null;
  readonly groups: string | null;
  /** SHA-256 of the code, hexadecimal. */
  readonly code: string | null;
  readonly code_expires_at: number | null;
  readonly login_expires_at: number | null;
  /** When the code was used, whoever did. */
  readonly redeemed_at: number | null;
}

/** Sessions that are to end, on whichever node they are. */
export interface KillsTable {
  readonly session: string;
  readonly reason: string;
  readonly by: string;
  readonly at: number;
}

/** One row a name: counted up whenever what the name stands for has changed, so that other nodes see it by one small read. */
export interface VersionsTable {
  readonly name: string;
  readonly version: number;
}

/** Statements that wait, or waited, for approval; see src/approvals/request.ts. */
export interface ApprovalRequestsTable {
  readonly id: number;
  /** Hashes of what the approval is for; equal for the same statement sent again. */
  readonly binding: string;
  readonly shape: string;
  /** Hash of who asks, on which connection; `null` for those that are older than this column. */
  readonly requester: string | null;
  /** `null` for those that are older than these columns. */
  readonly connection: string | null;
  readonly fingerprint: string | null;
  /** Rows that it changed, or returned, when it ran last; `null` if it did not, or that is not known. */
  readonly changed_rows: number | null;
  readonly question: string;
  readonly stages: string;
  readonly grant_reach: string;
  /** Milliseconds. */
  readonly grant_for: number | null;
  /** Percent. */
  readonly tolerance: number;
  readonly state: string;
  readonly reason: string | null;
  readonly created_at: number;
  /** Number of its newest change; they go up over all requests, see `numberChange`. */
  readonly change: number;
  readonly expires_at: number;
  readonly decided_at: number | null;
  readonly impact: string | null;
  readonly reviewed_by: string | null;
  readonly reviewed_at: number | null;
  readonly review: string | null;
  /** How many events of it channels have been told of. */
  readonly events: number;
}

/** One a person and request. */
export interface ApprovalVotesTable {
  readonly request: number;
  readonly issuer: string;
  readonly subject: string;
  readonly groups: string;
  readonly on_behalf_of: string;
  readonly is_approver: number;
  readonly decision: string;
  readonly reason: string;
  readonly channel: string;
  readonly at: number;
  /** 1 if nobody knew how many rows would change. */
  readonly uncounted: number;
}

/** Who votes in whose place, until when. */
export interface ApprovalDelegationsTable {
  readonly issuer: string;
  readonly subject: string;
  readonly groups: string;
  readonly to_issuer: string;
  readonly to_subject: string;
  /** When it was given. */
  readonly since: number;
  readonly until: number;
}

/** What a channel is to be told, written in the transaction that makes it so; see src/approvals/deliveries.ts. */
export interface ApprovalDeliveriesTable {
  /** Goes with it each time it is sent: by it a receiver knows what it has already. */
  readonly id: string;
  /** Name of the channel. */
  readonly channel: string;
  readonly request: number;
  /** The how-manieth event of the request, from 1: they are sent in this order. */
  readonly number: number;
  readonly event: string;
  readonly payload: string;
  /** `pending`, `delivered` or `dead`. */
  readonly state: string;
  readonly attempts: number;
  /** When it is sent next; while it is being sent, when another node may. */
  readonly due_at: number;
  readonly created_at: number;
  readonly ended_at: number | null;
  /** Why the last attempt failed. */
  readonly failure: string | null;
}

/** The message in Slack that stands for a request, so that it can be changed. */
export interface SlackMessagesTable {
  readonly channel: string;
  readonly request: number;
  /** Slack's id of the conversation it is in. */
  readonly conversation: string;
  readonly ts: string;
}

/** What has come from Slack lately: nothing of it counts twice. */
export interface SlackInteractionsTable {
  /** SHA-256 of its body, hexadecimal. */
  readonly id: string;
  readonly at: number;
}

/** When people last proved at the HTTP API who they are, and the groups that their provider vouched for then. */
export interface LastLoginsTable {
  readonly identity: string;
  readonly issuer: string;
  readonly subject: string;
  readonly groups: string;
  readonly at: number;
}

/** The newest checkpoint of each segment of each node's journal; see src/recording/checkpoint-keeper.ts. */
export interface JournalCheckpointsTable {
  readonly node: string;
  readonly segment: number;
  /** Of the checkpoint's record. */
  readonly seq: number;
  /** The record, as it is in the journal. */
  readonly line: string;
  readonly at: number;
}

export interface Tables {
  readonly journal_checkpoints: JournalCheckpointsTable;
  readonly approval_deliveries: ApprovalDeliveriesTable;
  readonly slack_messages: SlackMessagesTable;
  readonly slack_interactions: SlackInteractionsTable;
  readonly last_logins: LastLoginsTable;
  readonly approval_requests: ApprovalRequestsTable;
  readonly approval_votes: ApprovalVotesTable;
  readonly approval_delegations: ApprovalDelegationsTable;
  readonly identities: IdentitiesTable;
  readonly uses: UsesTable;
  readonly credentials: CredentialsTable;
  readonly logins: LoginsTable;
  readonly saml_requests: SamlRequestsTable;
  readonly kills: KillsTable;
  readonly versions: VersionsTable;
}
