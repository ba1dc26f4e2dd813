import { type Kysely, PostgresAdapter, sql } from 'kysely';
import type { Migration, MigrationProvider } from 'kysely/migration';
import { recordIndexDdl } from './record-index-tables.ts';

/** By name, in the order of their names. One that has been released is never changed: a further one is added. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-identities': { up: createIdentities },
  '0002-approvals': { up: createApprovals },
  '0003-saml': { up: createSaml },
  '0200-approval-channels': { up: createApprovalChannels },
  '0210-requesters': { up: addRequesters },
  // Made tables that 0600-record-index makes anew.
  '0300-record-index': { up: async () => undefined },
  '0400-journal-checkpoints': { up: createJournalCheckpoints },
  '0500-approval-changes': { up: numberChanges },
  '0510-decisive-votes': { up: indexDecisions },
  '0600-record-index': { up: createRecordIndex },
  '0610-uncounted-votes': { up: addUncountedVotes },
  '0620-begin-of-delegations': { up: addBeginOfDelegations },
  '0630-approval-history': { up: addHistory },
};

/** The same for SQLite and PostgreSQL: text, bigint, and nothing that only one of them has. */
export const migrations: MigrationProvider = { getMigrations: async () => ({ ...MIGRATIONS }) };

async function createIdentities(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema
    .createTable('identities')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('owner', 'text')
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull().defaultTo('active'))
    .addColumn('state_reason', 'text')
    .addColumn('state_by', 'text')
    .addColumn('state_at', 'bigint')
    .addColumn('first_seen', 'bigint', (column) => column.notNull())
    .addColumn('first_used', 'bigint')
    .addColumn('last_used', 'bigint')
    .addColumn('sessions', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('allowed', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('denied', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('held', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await schema.createIndex('identities_subject').on('identities').column('subject').execute();
  await schema
    .createTable('uses')
    .addColumn('identity', 'text', (column) => column.notNull())
    .addColumn('connection', 'text', (column) => column.notNull())
    .addColumn('aspect', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addColumn('first_at', 'bigint', (column) => column.notNull())
    .addColumn('last_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('uses_key', ['identity', 'connection', 'aspect', 'name'])
    .execute();
  await schema
    .createTable('credentials')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('identity', 'text', (column) => column.notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('owner', 'text')
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('connections', 'text')
    .addColumn('scram', 'text', (column) => column.notNull())
    .addColumn('caching_sha2', 'text', (column) => column.notNull())
    .addColumn('caching_sha2_fast', 'text', (column) => column.notNull())
    .addColumn('native', 'text', (column) => column.notNull())
    .addColumn('login', 'text')
    .addColumn('created_by', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('revoked_by', 'text')
    .addColumn('revoked_reason', 'text')
    .addColumn('first_used', 'bigint')
    .addColumn('last_used', 'bigint')
    .addColumn('uses', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await schema.createIndex('credentials_identity').on('credentials').column('identity').execute();
  await schema.createIndex('credentials_expires').on('credentials').column('expires_at').execute();
  await schema
    .createTable('logins')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('secret', 'text', (column) => column.notNull())
    .addColumn('identity', 'text', (column) => column.notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('owner', 'text')
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .execute();
  await schema
    .createTable('kills')
    .addColumn('session', 'text', (column) => column.primaryKey())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('by', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
  await schema
    .createTable('versions')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .execute();
  await sql`insert into versions (name, version) values ('access', 0)`.execute(db);
}

async function createApprovals(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema
    .createTable('approval_requests')
    .addColumn('id', 'bigint', (column) => column.primaryKey())
    .addColumn('binding', 'text', (column) => column.notNull())
    .addColumn('shape', 'text', (column) => column.notNull())
    .addColumn('question', 'text', (column) => column.notNull())
    .addColumn('stages', 'text', (column) => column.notNull())
    .addColumn('grant_reach', 'text', (column) => column.notNull())
    .addColumn('grant_for', 'bigint')
    .addColumn('tolerance', 'bigint', (column) => column.notNull())
    .addColumn('changed_at', 'bigint', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('decided_at', 'bigint')
    .addColumn('impact', 'text')
    .addColumn('reviewed_by', 'text')
    .addColumn('reviewed_at', 'bigint')
    .addColumn('review', 'text')
    .execute();
  await schema.createIndex('approval_requests_binding').on('approval_requests').column('binding').execute();
  await schema.createIndex('approval_requests_shape').on('approval_requests').column('shape').execute();
  await schema
    .createIndex('approval_requests_state')
    .on('approval_requests')
    .columns(['state', 'expires_at'])
    .execute();
  await schema.createIndex('approval_requests_changed').on('approval_requests').column('changed_at').execute();
  await schema
    .createTable('approval_votes')
    .addColumn('request', 'bigint', (column) => column.notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('on_behalf_of', 'text', (column) => column.notNull())
    .addColumn('is_approver', 'bigint', (column) => column.notNull())
    .addColumn('decision', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('approval_votes_key', ['request', 'issuer', 'subject'])
    .execute();
  await schema
    .createTable('approval_delegations')
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('to_issuer', 'text', (column) => column.notNull())
    .addColumn('to_subject', 'text', (column) => column.notNull())
    .addColumn('until', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('approval_delegations_key', ['issuer', 'subject', 'to_issuer', 'to_subject'])
    .execute();
  await sql`insert into versions (name, version) values ('approval_requests', 0)`.execute(db);
}

async function createJournalCheckpoints({ schema }: Kysely<unknown>): Promise<void> {
  await schema
    .createTable('journal_checkpoints')
    .addColumn('node', 'text', (column) => column.notNull())
    .addColumn('segment', 'bigint', (column) => column.notNull())
    .addColumn('seq', 'bigint', (column) => column.notNull())
    .addColumn('line', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('journal_checkpoints_key', ['node', 'segment'])
    .execute();
}

async function createSaml({ schema }: Kysely<unknown>): Promise<void> {
  await schema
    .createTable('saml_requests')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('redirect', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('challenge', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('issuer', 'text')
    .addColumn('subject', 'text')
    .addColumn('kind', 'text')
    .addColumn('owner', 'text')
    .addColumn('groups', 'text')
    .addColumn('code', 'text', (column) => column.unique())
    .addColumn('code_expires_at', 'bigint')
    .addColumn('login_expires_at', 'bigint')
    .addColumn('redeemed_at', 'bigint')
    .execute();
}

async function createApprovalChannels({ schema }: Kysely<unknown>): Promise<void> {
  await schema
    .alterTable('approval_requests')
    .addColumn('events', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await schema
    .createTable('approval_deliveries')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('request', 'bigint', (column) => column.notNull())
    .addColumn('number', 'bigint', (column) => column.notNull())
    .addColumn('event', 'text', (column) => column.notNull())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('attempts', 'bigint', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('failure', 'text')
    .addUniqueConstraint('approval_deliveries_order', ['channel', 'request', 'number'])
    .execute();
  await schema
    .createIndex('approval_deliveries_due')
    .on('approval_deliveries')
    .columns(['state', 'channel', 'due_at'])
    .execute();
  await schema
    .createTable('slack_messages')
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('request', 'bigint', (column) => column.notNull())
    .addColumn('conversation', 'text', (column) => column.notNull())
    .addColumn('ts', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('slack_messages_key', ['channel', 'request'])
    .execute();
  await schema
    .createTable('slack_interactions')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
  await schema
    .createTable('last_logins')
    .addColumn('identity', 'text', (column) => column.primaryKey())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('groups', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
}

/** Whoever asked can ask what has become of it. */
async function addRequesters({ schema }: Kysely<unknown>): Promise<void> {
  await schema.alterTable('approval_requests').addColumn('requester', 'text').execute();
  await schema
    .createIndex('approval_requests_requester')
    .on('approval_requests')
    .columns(['requester', 'id'])
    .execute();
}

/**
 * Changes of requests have numbers, in their order, in the place of times. They begin at the time, so that a number of another
 * store, which this one took the place of, is below all of them.
 */
async function numberChanges(db: Kysely<unknown>): Promise<void> {
  const { schema } = db;
  await schema.dropIndex('approval_requests_changed').execute();
  await schema.alterTable('approval_requests').dropColumn('changed_at').execute();
  await schema
    .alterTable('approval_requests')
    .addColumn('change', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await schema.createIndex('approval_requests_change').on('approval_requests').column('change').execute();
  await sql`insert into versions (name, version) values ('approval_changes', ${Date.now()})`.execute(db);
}

/** Few votes break the glass, and those have to be found among all. */
async function indexDecisions({ schema }: Kysely<unknown>): Promise<void> {
  await schema.createIndex('approval_votes_decision').on('approval_votes').column('decision').execute();
}

/** Votes that were given before anybody knew how many rows would change. */
async function addUncountedVotes({ schema }: Kysely<unknown>): Promise<void> {
  await schema
    .alterTable('approval_votes')
    .addColumn('uncounted', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
}

/** What became of requests for statements that differ only in literals; older requests are not told apart by that. */
async function addHistory({ schema }: Kysely<unknown>): Promise<void> {
  for (const name of ['connection', 'fingerprint'] as const) {
    await schema.alterTable('approval_requests').addColumn(name, 'text').execute();
  }
  await schema.alterTable('approval_requests').addColumn('changed_rows', 'bigint').execute();
  await schema
    .createIndex('approval_requests_fingerprint')
    .on('approval_requests')
    .columns(['connection', 'fingerprint', 'id', 'state', 'changed_rows'])
    .execute();
}

/**
 * Beside a SQLite store the index is in a file of its own. One of an older layout goes: each node makes its part of it again from
 * its journal.
 */
async function createRecordIndex(db: Kysely<unknown>): Promise<void> {
  if (!(db.getExecutor().adapter instanceof PostgresAdapter)) return;
  for (const table of OLDER_INDEX) {
    await sql`drop table if exists ${sql.table(`index_${table}`)}`.execute(db);
  }
  for (const text of recordIndexDdl('postgres')) await sql.raw(text).execute(db);
}

/** Tables of the layout before. */
const OLDER_INDEX = 'nodes sessions profiles profile_rules shapes shape_objects traces pairs texts entries'.split(' ');

async function addBeginOfDelegations({ schema }: Kysely<unknown>): Promise<void> {
  await schema
    .alterTable('approval_delegations')
    .addColumn('since', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
}
