const TRANSACTIONAL = new Set(['INNODB', 'NDBCLUSTER', 'ROCKSDB']);

/** True if what is done to tables of a storage engine can be rolled back. @param engine as the information schema has it */
export function hasTransactions(engine: string): boolean {
  return TRANSACTIONAL.has(engine.toUpperCase());
}
