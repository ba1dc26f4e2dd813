/** The catalogue queries of clients pass the pack that allows least, with masks or without; no server is needed. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RuleSet } from '../src/policy/decide.ts';
import { readRuleFiles } from '../src/policy/load.ts';
import { judgeText, rehearsedMoment } from '../src/rehearsal/judged-text.ts';
import { StatementReader, usualSession } from '../src/rehearsal/statement-reader.ts';
import type { CatalogueData } from '../src/statements/catalogue.ts';
import { AGENT } from './corpus/offline.ts';

const nothing = { relations: [], functions: [], operators: [], casts: [], types: [], unseen: [] };
const server = { version: 1, database: 'shop', foldsNames: false } as const;

function queriesIn(file: string): string[] {
  return readFileSync(join(import.meta.dirname, 'corpus', file), 'utf8')
    .replace(/^--.*$/gm, '')
    .split(/;$/m)
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

const REFUSING = ['pii', 'exfiltration', 'destructive'];

for (const { dialect, file, serverVersion, packs } of [
  { dialect: 'postgres', file: 'tool-queries.sql', serverVersion: '15.1', packs: ['agents-read-only'] },
  {
    dialect: 'mysql',
    file: 'tool-queries-mysql.sql',
    serverVersion: '8.4.0',
    packs: ['agents-read-only', 'mysql-agents'],
  },
  {
    dialect: 'mariadb',
    file: 'tool-queries-mysql.sql',
    serverVersion: '11.4.0-MariaDB',
    packs: ['agents-read-only', 'mysql-agents'],
  },
] as const) {
  for (const together of [packs, [...packs, ...REFUSING]]) {
    test(`what clients ask the catalogue of ${dialect} is allowed by ${together.join(', ')}`, async () => {
      const queries = queriesIn(file);
      assert.ok(queries.length > 50, `${queries.length} queries`);
      const catalogue: CatalogueData = { ...server, ...nothing, dialect, serverVersion };
      const { sections, version } = readRuleFiles(
        together.map((pack) => join(import.meta.dirname, `../rules/${pack}.yaml`)),
      );
      const rules = new RuleSet(sections.rules, version, sections);
      const reader = await StatementReader.create(dialect, catalogue);
      const session = usualSession(catalogue);
      const subject = { identity: AGENT, connection: 'c', default: 'deny' } as const;
      const refused: string[] = [];
      let prepared = '';
      for (const sql of queries) {
        // Only what a text itself prepares is known by name without a session.
        if (sql.startsWith('PREPARE')) prepared = `${sql};`;
        const text = sql.startsWith('EXECUTE') ? prepared + sql : sql;
        const moment = rehearsedMoment(text, 0, {}, [], session);
        const { action, refusal } = await judgeText(reader, rules, text, { subject, session, moment });
        if (action !== 'allow') refused.push(`${refusal?.message} ${sql.slice(0, 200)}`);
      }
      reader.close();
      assert.deepEqual(refused, []);
    });
  }
}
