import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { Answer, Opened, Question } from './sqlite-dialect.ts';

/** The thread behind sqlite-dialect.ts: `node:sqlite` is synchronous, and a disk may take its time. */

/** Between tries to open a file that another process opens, milliseconds. */
const RETRY_MS = 20;
const SQLITE_BUSY = 5;

const { file, patienceMs } = workerData as Opened;
const database = new DatabaseSync(file, { timeout: patienceMs });
for (const end = performance.now() + patienceMs; ; ) {
  try {
    // WAL: readers do not wait for a writer, a killed process loses nothing. The durability is that of the journal.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
    break;
  } catch (error) {
    // Of two that change the mode at once, SQLite turns one away without waiting: each would wait for the other.
    const isBusy = ((error as { readonly errcode?: number }).errcode! & 0xff) === SQLITE_BUSY;
    if (!isBusy || performance.now() > end) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
}

/** Statements that were prepared before, by their text. */
const prepared = new Map<string, { readonly statement: StatementSync; readonly hasRows: boolean }>();
const MOST_PREPARED = 200;

function preparedFor(sql: string): { readonly statement: StatementSync; readonly hasRows: boolean } {
  let known = prepared.get(sql);
  if (known === undefined) {
    const statement = database.prepare(sql);
    known = { statement, hasRows: statement.columns().length > 0 };
    if (prepared.size >= MOST_PREPARED) prepared.clear();
    prepared.set(sql, known);
  }
  return known;
}

function answer({ id, sql, parameters }: Question): Answer {
  // A full disk has SQLite roll back by itself; what is to be told is that, not that there is nothing left to roll back.
  if (sql === 'rollback' && !database.isTransaction) return { id, rows: [], changes: 0 };
  try {
    const { statement, hasRows } = preparedFor(sql);
    const values = parameters as SQLInputValue[];
    if (hasRows) return { id, rows: statement.all(...values).map((row) => ({ ...row })), changes: 0 };
    return { id, rows: [], changes: Number(statement.run(...values).changes) };
  } catch (error) {
    return { id, error: (error as Error).message };
  }
}

parentPort!.on('message', (question: Question | null) => {
  if (question !== null) {
    parentPort!.postMessage(answer(question));
    return;
  }
  database.close();
  parentPort!.close();
});
