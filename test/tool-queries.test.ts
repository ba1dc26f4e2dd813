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

const queries = readFileSync(join(import.meta.dirname, 'corpus/tool-queries.sql'), 'utf8')
  .replace(/^--.*$/gm, '')
  .split(/;$/m)
  .map((one) => one.trim())
  .filter((one) => one !== '');
const nothing = { relations: [], functions: [], operators: [], casts: [], types: [], unseen: [] };
const server = { version: 1, dialect: 'postgres', serverVersion: '15.1', database: 'd', foldsNames: false } as const;
const CATALOGUE: CatalogueData = { ...server, ...nothing };

for (const packs of [['agents-read-only'], ['agents-read-only', 'pii', 'exfiltration']]) {
  test(`what clients ask the catalogue is allowed by ${packs.join(', ')}`, async () => {
    assert.ok(queries.length > 70, `${queries.length} queries`);
    const { sections, version } = readRuleFiles(
      packs.map((pack) => join(import.meta.dirname, `../rules/${pack}.yaml`)),
    );
    const rules = new RuleSet(sections.rules, version, sections);
    const reader = await StatementReader.create('postgres', CATALOGUE);
    const session = usualSession(CATALOGUE);
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
