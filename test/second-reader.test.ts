/**
 * node-sql-parser as a witness: whatever tables it finds in a query or write that it reads, our reader has to find as well.
 * Why it reads nothing in the product itself: docs/decisions/0010-mysql-parser.md.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import sqlParser from 'node-sql-parser';
import { lexingStateOf, readServer } from '../src/statements/mysql/server.ts';
import { analyseText } from '../src/statements/mysql/text-facts.ts';
import { readLabelled } from './corpus/labelled-statement.ts';

const KINDS = new Set(['SELECT', 'INSERT', 'REPLACE', 'UPDATE', 'DELETE']);

/** `kind::database::table` of each; `null` if it does not read the text. */
function witnessed(sql: string): string[] | null {
  try {
    return new sqlParser.Parser().tableList(sql, { database: 'MariaDB' });
  } catch {
    return null;
  }
}

test('every table that node-sql-parser finds in a labelled statement is found by our reader', () => {
  const server = readServer('mariadb', '10.11.6-MariaDB');
  const statements = readLabelled(join(import.meta.dirname, 'corpus/mysql.jsonl'));
  let read = 0;
  const missed: string[] = [];
  for (const { id, sql, server: only } of statements) {
    const found = only === 'mysql8' || sql.includes('/*!') || sql.includes('/*M!') ? null : witnessed(sql);
    const facts = analyseText(sql, { server, state: lexingStateOf('', 'clinic'), catalogue: null }).statements;
    const effects = facts.flatMap((one) => one.effects);
    const isRead = facts.every(({ kind }) => KINDS.has(kind)) && !effects.some(({ effect }) => effect === 'opaque');
    if (found === null || !isRead) continue;
    read += 1;
    // It takes the names of common table expressions for tables.
    const named = new Set(
      [...sql.matchAll(/(\w+)\s*(?:\([^()]*\)\s*)?AS\s*\(/gi)].map(([, name]) => name!.toLowerCase()),
    );
    // And so it does with an option of UPDATE.
    if (/^\s*UPDATE\s+IGNORE\b/i.test(sql)) named.add('ignore');
    const ours = new Set(effects.map(({ object }) => object?.name.toLowerCase() ?? ''));
    for (const one of found) {
      const name = one.split('::')[2]!.toLowerCase();
      if (!ours.has(name) && !named.has(name)) missed.push(`${id} ${name}`);
    }
  }
  assert.ok(read >= 400, `${read} read by both`);
  assert.deepEqual(missed, []);
});
