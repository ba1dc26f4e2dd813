import { type Kysely, sql } from 'kysely';
import type { Migration, MigrationProvider } from 'kysely/migration';

/** By name, in the order of their names. One that has been released is never changed: a further one is added. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-identities': { up: createIdentities },
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
