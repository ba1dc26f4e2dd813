import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Dialect, Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import type { StoreConfig } from '../config/config.ts';
import { migrations } from './migrations.ts';
import type { Tables } from './tables.ts';

/** What outlives the process and is shared by all nodes: credentials, revocations, the inventory of identities. */
export type Store = Kysely<Tables>;

/** How long a statement may take while tables are brought up to date, by this node or another, milliseconds. */
const MIGRATION_PATIENCE_MS = 10 * 60_000;

export class StoreError extends Error {
  override readonly name = 'StoreError';
}

/**
 * Opens the store and brings its tables up to date. Of nodes that open it at once, one does that while the others wait.
 * @throws StoreError that says which store, and what is wrong; never its password
 */
export async function openStore(config: StoreConfig): Promise<Store> {
  const where = describeStore(config);
  try {
    const migrated = new Kysely<Tables>({ dialect: await dialectOf(config, MIGRATION_PATIENCE_MS) });
    const { error } = await new Migrator({ db: migrated, provider: migrations }).migrateToLatest();
    await migrated.destroy().catch(() => undefined);
    if (error !== undefined) throw error;
    const store = new Kysely<Tables>({ dialect: await dialectOf(config) });
    // It connects when it is asked first; one that never was could be asked after its end.
    await sql`select 1`.execute(store);
    return store;
  } catch (error) {
    throw new StoreError(`the store ${where} cannot be opened: ${(error as Error).message}`);
  }
}

/** Without what is secret in it: `sqlite:/var/lib/sluice/sluice.db`, `postgres://db/sluice`. */
export function describeStore(config: StoreConfig): string {
  if (config.kind === 'sqlite') return `sqlite:${config.file}`;
  const { host, pathname } = new URL(config.url);
  return `postgres://${host}${pathname}`;
}

/** Each is loaded only where it is used. */
async function dialectOf(config: StoreConfig, patienceMs?: number): Promise<Dialect> {
  if (config.kind === 'postgres') {
    return (await import('./postgres-dialect.ts')).postgresDialect(config.url, patienceMs);
  }
  mkdirSync(dirname(config.file), { recursive: true, mode: 0o700 });
  // SQLite would make it readable for all; the files beside it get the mode of this one.
  closeSync(openSync(config.file, 'a', 0o600));
  return (await import('./sqlite-dialect.ts')).sqliteDialect(config.file, patienceMs);
}
