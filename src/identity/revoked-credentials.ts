import type { Transaction } from 'kysely';
import type { Tables } from '../store/tables.ts';
import { noteChange } from './noted-changes.ts';

/** Which credentials are meant. */
export interface CredentialFilter {
  readonly id?: string;
  /** Id of the identity whose sessions they are for. */
  readonly identity?: string;
  /** Id of the identity that made them. */
  readonly createdBy?: string;
  readonly login?: string;
  /** Only those that could be used now. */
  readonly live?: boolean;
}

/** Ends those that have not ended, as part of something greater. @returns their names */
export async function revokeCredentials(
  transaction: Transaction<Tables>,
  filter: Omit<CredentialFilter, 'live'>,
  by: string,
  reason: string,
): Promise<string[]> {
  const now = Date.now();
  let query = transaction
    .updateTable('credentials')
    .set({ revoked_at: now, revoked_by: by, revoked_reason: reason })
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now);
  if (filter.id !== undefined) query = query.where('id', '=', filter.id);
  if (filter.identity !== undefined) query = query.where('identity', '=', filter.identity);
  if (filter.createdBy !== undefined) query = query.where('created_by', '=', filter.createdBy);
  if (filter.login !== undefined) query = query.where('login', '=', filter.login);
  const revoked = await query.returning('id').execute();
  if (revoked.length > 0) await noteChange(transaction);
  return revoked.map(({ id }) => id);
}
