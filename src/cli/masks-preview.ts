import { dirname } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { connect, type SampleRows, type ServiceConnection } from '../catalog/service-connection.ts';
import { loadConfig } from '../config/load.ts';
import { resolveSecret } from '../config/secrets.ts';
import { RuleSet, type Subject } from '../policy/decide.ts';
import { readRuleFiles } from '../policy/load.ts';
import { maskKeys } from '../policy/masks.ts';
import { type JudgedStatement, judgeText, rehearsedMoment } from '../rehearsal/judged-text.ts';
import { maskSample } from '../rehearsal/mask-preview.ts';
import { outputsInWords } from '../rehearsal/outputs-in-words.ts';
import { StatementReader, usualSession } from '../rehearsal/statement-reader.ts';
import { TEST_SUFFIX } from '../rehearsal/test-file.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { connectionNamed } from './offline-config.ts';
import { outputsText } from './rules-explain.ts';
import { type SenderOptions, senderOf, senderOptions } from './subject.ts';
import { printable, table, trimmed } from './terminal.ts';

interface PreviewOptions extends SenderOptions {
  readonly config: string;
  readonly rules?: string[];
  readonly rows: number;
  readonly json?: true;
}

/** More is no preview. */
const MOST_ROWS = 100;

export function addMasksCommand(program: Command): void {
  const masks = program.command('masks').description('Masks: what becomes of values.');
  senderOptions(masks.command('preview'))
    .description(
      'Runs a SELECT on the database of a connection, as the upstream user and read-only, and shows its first rows as somebody would see them. What is masked is not shown.',
    )
    .argument('<connection>', 'connection')
    .argument('<sql>', 'one SELECT')
    .option('-c, --config <file>', 'configuration file', 'sluice.yaml')
    .option('--rules <files...>', 'these rule files instead of those of the configuration')
    .option('--rows <number>', `how many rows, up to ${MOST_ROWS}`, rowsOption, 5)
    .option('--json', 'print JSON')
    .action(preview);
}

function rowsOption(text: string): number {
  const rows = Number(text);
  if (!Number.isInteger(rows) || rows < 1 || rows > MOST_ROWS) {
    throw new InvalidArgumentError(`It must be a number from 1 to ${MOST_ROWS}.`);
  }
  return rows;
}

async function preview(name: string, sql: string, options: PreviewOptions): Promise<void> {
  const config = await loadConfig(options.config);
  const connection = connectionNamed(config, name);
  const identity = senderOf(options, config);
  const subject = { identity, connection: name, default: connection.default };
  const files = options.rules?.filter((file) => !file.endsWith(TEST_SUFFIX)) ?? config.rules;
  const { sections, version } = readRuleFiles(files);
  const keys = await maskKeys(sections, (reference) => resolveSecret(reference, dirname(config.file), process.env));
  const rules = new RuleSet(sections.rules, version, sections, keys);
  const service = await reached(name, () => connect({ protocol: connection.protocol, ...connection.upstream }));
  try {
    const { statement, reader } = await judged(service, name, sql, subject, rules);
    try {
      const sample = await sampled(service, statement.text, options.rows);
      const plan = statement.verdict.masks;
      const { rows, mismatch } = maskSample(connection.protocol, plan, sample, reader.catalogue);
      if (rows === null) {
        throw new CommandFailure(EXIT.problem, `Nothing of its result would be sent: ${printable(mismatch)}.`);
      }
      const texts = rows.map((row) => row.map((value) => (value === null ? null : textOf(value))));
      const columns = outputsInWords(statement.facts.outputs, plan);
      if (options.json) console.log(JSON.stringify({ identity, connection: name, columns, rows: texts }, null, 2));
      else {
        console.log(outputsText(statement.facts, plan, 'allow').join('\n'));
        console.log(`\n${rowsText(columns?.map((column) => column.name) ?? [], texts)}`);
      }
    } finally {
      reader.close();
    }
  } finally {
    await service.close();
  }
}

/** @throws CommandFailure if it is not one SELECT that only reads, or is refused to whoever it is for */
async function judged(
  service: ServiceConnection,
  name: string,
  sql: string,
  subject: Subject,
  rules: RuleSet,
): Promise<{ statement: JudgedStatement; reader: StatementReader }> {
  const { data, state } = await reached(name, async () => ({
    data: await service.readCatalogue(),
    state: await service.readState(),
  }));
  const reader = await StatementReader.create(data.dialect, data);
  try {
    const session = { ...usualSession(data), ...state };
    const moment = rehearsedMoment(sql, Date.now(), {}, [], session);
    const { action, refusal, statements } = await judgeText(reader, rules, sql, { subject, session, moment });
    const [statement, ...others] = statements;
    const onlyReads =
      statement?.facts.kind === 'SELECT' && statement.facts.effects.every(({ effect }) => effect === 'read');
    if (statement === undefined || others.length > 0 || !onlyReads) {
      const does = statements.flatMap(({ facts }) => facts.effects.map(({ effect }) => effect));
      const what = others.length > 0 ? `${statements.length} statements` : `effects ${[...new Set(does)].join(', ')}`;
      throw new CommandFailure(EXIT.usage, `A preview is of one SELECT that only reads; this has ${what}.`);
    }
    if (action !== 'allow') {
      throw new CommandFailure(EXIT.problem, `${printable(refusal!.message)}\n${printable(refusal!.hint)}`);
    }
    return { statement, reader };
  } catch (error) {
    reader.close();
    throw error;
  }
}

async function sampled(service: ServiceConnection, sql: string, most: number): Promise<SampleRows> {
  try {
    return await service.readSample(sql, most);
  } catch (error) {
    throw new CommandFailure(EXIT.problem, `The database does not run it: ${printable((error as Error).message)}`);
  }
}

async function reached<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    throw new CommandFailure(EXIT.unreachable, `The database of ${name} does not answer: ${message || code}`);
  }
}

/** Bytes that are no text as hexadecimal digits. */
function textOf(value: Buffer): string {
  const text = value.toString('utf8');
  return Buffer.from(text, 'utf8').equals(value) ? text : `\\x${value.toString('hex')}`;
}

function rowsText(names: readonly string[], rows: readonly (readonly (string | null)[])[]): string {
  if (rows.length === 0) return 'No rows.';
  const cells = rows.map((row) => row.map((value) => (value === null ? 'NULL' : trimmed(value, 40))));
  return table(
    rows[0]!.map((_, index) => trimmed(names[index] ?? '', 40)),
    cells,
  );
}
