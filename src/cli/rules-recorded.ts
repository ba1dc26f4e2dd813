import { writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { readSnapshot } from '../catalog/snapshot.ts';
import { RuleSet } from '../policy/decide.ts';
import { readRuleFiles } from '../policy/load.ts';
import { type Backtest, backtest } from '../rehearsal/backtest.ts';
import { type Learned, learn } from '../rehearsal/learn.ts';
import type { RecordedScope, RecordedTraffic } from '../rehearsal/recorded-statements.ts';
import {
  DIALECTS,
  type Dialect,
  type SessionReading,
  StatementReader,
  usualSession,
} from '../rehearsal/statement-reader.ts';
import { TEST_SUFFIX } from '../rehearsal/test-file.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { type OfflineConfig, readOfflineConfig } from './offline-config.ts';
import { Progress } from './progress.ts';
import { timeOption } from './recordings-search.ts';
import { printable, styled, table, trimmed } from './terminal.ts';

interface RecordedOptions {
  readonly config: string;
  readonly journal: readonly string[];
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly until?: number;
  readonly identity?: string;
  readonly catalogue?: string;
  readonly dialect?: Dialect;
  readonly json?: true;
}

type Verdict = 'allow' | 'hold' | 'deny';

/** Options of commands that look at what was recorded. */
function recorded(command: Command): Command {
  return command
    .requiredOption('--since <time>', 'how far back: 30m, 12h, 7d, or a time: 2026-01-31T12:00:00Z', timeOption)
    .option('--until <time>', 'only what is older than that', timeOption)
    .option('--identity <subject>', 'only what this identity has sent')
    .option('-c, --config <file>', 'configuration file, for the journal and the defaults of connections', 'sluice.yaml')
    .option(
      '--journal <directory>',
      'journal directory, of each node that is meant; no configuration file is read',
      (directory: string, others: readonly string[]) => [...others, directory],
      [],
    )
    .option('--catalogue <snapshot>', 'catalogue to look names up in, a file `rules catalog` has written')
    .addOption(new Option('--dialect <dialect>', 'whose SQL it is').choices([...DIALECTS]))
    .option('--json', 'print JSON');
}

export function addRulesBacktest(rules: Command): void {
  recorded(rules.command('backtest'))
    .description('Judges what was recorded by other rules, and says which verdicts would be others.')
    .argument('<files...>', 'rule files, as they would be in force together')
    .addOption(
      new Option('--default <verdict>', 'verdict where no rule matches, on connections that are not configured')
        .choices(['allow', 'hold', 'deny'])
        .default('deny'),
    )
    .action(async (files: string[], options: RecordedOptions & { readonly default: Verdict }) => {
      const { sections, version } = readRuleFiles(files.filter((file) => !file.endsWith(TEST_SUFFIX)));
      const result = await overRecords(options, ({ reader, session, scope, config, progress }) => {
        const defaults = new Map(config?.connections.map((connection) => [connection.name, connection.default]));
        return backtest(scope, new RuleSet(sections.rules, version, sections), {
          reader,
          session,
          progress,
          defaultOf: (connection) => defaults.get(connection) ?? options.default,
        });
      });
      console.log(options.json ? JSON.stringify(backtestJson(result), null, 2) : backtestText(result));
      report(result);
    });
}

export function addRulesLearn(rules: Command): void {
  recorded(rules.command('learn'))
    .description('Proposes rules that allow what was recorded as allowed: by identity, effects, tables, functions.')
    .option('-o, --output <file>', 'file to write the rules to, instead of standard output')
    .action(async (options: RecordedOptions & { readonly output?: string }) => {
      const result = await overRecords(options, ({ reader, session, scope, progress }) =>
        learn(scope, { reader, session, progress }),
      );
      if (options.output !== undefined) writeFileSync(options.output, result.yaml);
      if (options.json) {
        const { statements, learned, left, yaml, problems } = result;
        console.log(JSON.stringify({ statements, learned, left, rules: yaml, problems }, null, 2));
      } else {
        if (options.output === undefined) process.stdout.write(result.yaml);
        console.error(learnedText(result));
      }
      report(result);
    });
}

interface Records {
  readonly reader: StatementReader;
  readonly session: SessionReading;
  readonly scope: RecordedScope;
  /** `null` with --journal. */
  readonly config: OfflineConfig | null;
  readonly progress: (count: number) => void;
}

async function overRecords<T>(options: RecordedOptions, work: (records: Records) => Promise<T>): Promise<T> {
  const { journal, since, until = null, identity = null } = options;
  const config = journal.length === 0 ? await readOfflineConfig(options.config) : null;
  const snapshot = options.catalogue === undefined ? null : await readSnapshot(options.catalogue);
  const dialect = options.dialect ?? snapshot?.dialect ?? 'postgres';
  const reader = await StatementReader.create(dialect, snapshot);
  const progress = new Progress('statements read');
  try {
    return await work({
      reader,
      session: usualSession(snapshot),
      scope: { journals: config === null ? journal : [config.journal], since, until, identity },
      config,
      progress: (count) => progress.at(count),
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new CommandFailure(EXIT.usage, `The journal cannot be read: ${(error as Error).message}`);
  } finally {
    progress.end();
    reader.close();
  }
}

/** After the rest was printed: what is wrong with the journal, on standard error. */
function report({ problems }: RecordedTraffic): void {
  for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`);
  if (problems.length > 0) process.exitCode = EXIT.problem;
}

function backtestText({ statements, byName, without, changes }: Backtest): string {
  const changed = changes.reduce((sum, { count }) => sum + count, 0);
  const lines = [`${statements} statements, ${changed} with another verdict.`];
  if (byName > 0)
    lines.push(`${byName} run prepared statements by name and were left out: only their session knew what they are.`);
  if (without > 0) lines.push(`${without} records without a text were left out.`);
  if (changes.length > 0) {
    lines.push(
      '',
      table(
        ['COUNT', 'WAS', 'WOULD BE', 'BY', 'FINGERPRINT', 'IDENTITY', 'CONNECTION', 'EXAMPLE'],
        changes.map(({ count, from, to, by, fingerprint, example }) => [
          String(count),
          from,
          to,
          trimmed(by.join(', '), 40),
          fingerprint === '' ? 'none' : printable(fingerprint),
          trimmed(example.identity.subject, 24),
          printable(example.connection),
          trimmed(example.text, 80),
        ]),
      ),
    );
  }
  return lines.join('\n');
}

function backtestJson({ statements, byName, without, changes, problems }: Backtest) {
  return {
    statements,
    byName,
    without,
    changes: changes.map(({ example, ...change }) => ({
      ...change,
      example: { ...example, at: new Date(example.at).toISOString() },
    })),
    problems,
  };
}

function learnedText({ statements, learned, left }: Learned): string {
  const lines = [`${learned} of ${statements} recorded statements are covered by the proposal.`];
  for (const { what, count } of left) lines.push(styled('dim', `  ${count} left out: ${printable(what)}`));
  return lines.join('\n');
}
