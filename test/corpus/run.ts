/**
 * `npm run corpus -- [postgres|mysql] [--through-sluice] FILE.jsonl --schema FILE.sql`: judges labelled statements and
 * prints, by class, how many were judged as labelled and which were not. Exits with 1 if any was not.
 *
 * Without `--through-sluice` Sluice only reads them, with the catalogue of a throw-away server that has the schema. With
 * it an agent sends them through a running Sluice: what is refused must not reach the server, and what is
 * allowed must be answered as on a direct connection.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { trimmed } from '../../src/cli/terminal.ts';
import { type Answer, type LabelledStatement, readLabelled, wrong } from './labelled-statement.ts';
import { sendMysqlThroughSluice } from './mysql-through-sluice.ts';
import { judgeOffline, mysqlCatalogue, postgresCatalogue } from './offline.ts';
import { sendThroughSluice } from './through-sluice.ts';

const USAGE =
  'npm run corpus -- [postgres|mysql] [--through-sluice] FILE.jsonl --schema FILE.sql [--rules FILE]... [--database NAME]';

const root = join(import.meta.dirname, '../..');

/** The packs for agents, and the masks that the labels suppose. */
const RULES = {
  postgres: ['agents-guarded-writes', 'exfiltration', 'pii'],
  mysql: ['agents-guarded-writes', 'mysql-agents', 'exfiltration', 'pii'],
} as const;

function usage(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'through-sluice': { type: 'boolean' },
    schema: { type: 'string' },
    rules: { type: 'string', multiple: true },
    database: { type: 'string', default: 'corpus' },
  },
});
const [first] = positionals;
const named = first === 'postgres' || first === 'mysql' ? first : null;
const [file, ...more] = named === null ? positionals : positionals.slice(1);
const { schema } = values;
if (file === undefined || more.length > 0 || schema === undefined)
  usage('One file of statements and its schema are needed.');
const all = readLabelled(file);
const dialect = named ?? all[0]!.dialect;
const statements = all.filter((one) => one.dialect === dialect);
if (statements.length === 0) usage(`${file} has no statements for ${dialect}.`);
const rules = values.rules ?? [
  ...RULES[dialect].map((name) => join(root, 'rules', `${name}.yaml`)),
  join(import.meta.dirname, 'masks.yaml'),
];

const answers = await answersOf();
process.exitCode = report(statements, answers) === 0 ? 0 : 1;

async function answersOf(): Promise<Map<string, Answer>> {
  if (values['through-sluice']) {
    if (dialect === 'mysql') return sendMysqlThroughSluice(statements, schema!, rules);
    return sendThroughSluice(statements, schema!, rules, values.database);
  }
  const catalogue =
    dialect === 'postgres' ? await postgresCatalogue(schema!, values.database) : await mysqlCatalogue(schema!);
  if (catalogue === null) usage('Without a MariaDB there is no catalogue to judge by.');
  return judgeOffline(statements, catalogue, rules);
}

/** Prints the table and what was wrong. @returns how many were wrong */
function report(labelled: readonly LabelledStatement[], given: ReadonlyMap<string, Answer>): number {
  const classes = [...new Set(labelled.map((one) => `${one.class} ${one.expect}`))].sort();
  const width = Math.max(...classes.map((name) => name.length)) + 2;
  console.log(`${'CLASS EXPECTED'.padEnd(width)} CASES ALLOW  HOLD  DENY WRONG`);
  const wrongs: { one: LabelledStatement; answer: Answer; why: string }[] = [];
  for (const name of classes) {
    const counts = { allow: 0, hold: 0, deny: 0 };
    const cases = labelled.filter((one) => `${one.class} ${one.expect}` === name);
    const before = wrongs.length;
    for (const one of cases) {
      const answer = given.get(one.id)!;
      counts[answer.action] += 1;
      const why = wrong(one, answer);
      if (why !== null) wrongs.push({ one, answer, why });
    }
    const numbers = [cases.length, counts.allow, counts.hold, counts.deny, wrongs.length - before];
    console.log(`${name.padEnd(width)} ${numbers.map((number) => String(number).padStart(5)).join(' ')}`);
  }
  for (const { one, answer, why } of wrongs) {
    console.log(`\n${one.id} ${why}${answer.by.length > 0 ? ` (by ${answer.by.join(', ')})` : ''}`);
    console.log(`  ${trimmed(one.sql, 160)}`);
    if (answer.message !== '') console.log(`  ${trimmed(answer.message, 160)}`);
    console.log(`  ${trimmed(one.why, 160)}`);
  }
  console.log(`\n${labelled.length} statements, ${wrongs.length} wrong.`);
  return wrongs.length;
}
