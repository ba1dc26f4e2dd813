import type { Transaction } from 'kysely';
import type { Tables } from '../store/tables.ts';

/** Says to all nodes that who may log in, or which sessions may go on, has changed. */
export async function noteChange(transaction: Transaction<Tables>): Promise<void> {
  await transaction
    .updateTable('versions')
    .set((eb) => ({ version: eb('version', '+', 1) }))
    .where('name', '=', 'access')
    .execute();
}
