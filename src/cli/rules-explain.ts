import { type Command, InvalidArgumentError, Option } from 'commander';
import { readSnapshot } from '../catalog/snapshot.ts';
import { RuleSet, type Subject } from '../policy/decide.ts';
import type { ExplainedRule } from '../policy/explain.ts';
import { readRuleFiles } from '../policy/load.ts';
import type { MaskPlan } from '../policy/mask-plan.ts';
import type { Verdict } from '../policy/verdict.ts';
import { effectInWords, factsInWords } from '../rehearsal/facts-in-words.ts';
import { type JudgedStatement, type JudgedText, judgeText, rehearsedMoment } from '../rehearsal/judged-text.ts';
import { outputsInWords } from '../rehearsal/outputs-in-words.ts';
import { DIALECTS, type Dialect, StatementReader, usualSession } from '../rehearsal/statement-reader.ts';
import { TEST_SUFFIX } from '../rehearsal/test-file.ts';
import type { StatementFacts } from '../statements/facts.ts';
import { connectionNamed, readOfflineConfig } from './offline-config.ts';
import { type SenderOptions, senderOf, senderOptions } from './subject.ts';
import { printable, styled, table, trimmed } from './terminal.ts';

interface ExplainOptions extends SenderOptions {
  readonly on: string;
  readonly config: string;
  readonly rules?: string[];
  readonly default?: 'allow' | 'hold' | 'deny';
  readonly catalogue?: string;
  readonly dialect?: Dialect;
  readonly searchPath?: string;
  readonly rows?: number;
  readonly json?: true;
}

export function addRulesExplain(rules: Command): void {
  senderOptions(rules.command('explain'))
    .description('Says what a statement does, what becomes of it, and what each rule says to it. Runs nothing.')
    .argument('<sql>', 'statement, or several')
    .requiredOption('--on <connection>', 'connection')
    .option('-c, --config <file>', 'configuration file, for rules, users and defaults', 'sluice.yaml')
    .option('--rules <files...>', 'these rule files instead; no configuration file is read')
    .addOption(new Option('--default <verdict>', 'verdict where no rule matches').choices(['allow', 'hold', 'deny']))
    .option('--catalogue <snapshot>', 'catalogue to look names up in, a file `rules catalog` has written')
    .addOption(new Option('--dialect <dialect>', 'whose SQL it is').choices([...DIALECTS]))
    .option('--search-path <schemas>', 'where PostgreSQL looks for names without schema, with commas')
    .option('--rows <number>', 'rows that the server is taken to expect, for rules that ask', rowsGiven)
    .option('--json', 'print JSON')
    .action(async (sql: string, options: ExplainOptions) => {
      const { files, subject, dialect: configured } = await asked(options);
      const { sections, version } = readRuleFiles(files);
      const snapshot = options.catalogue === undefined ? null : await readSnapshot(options.catalogue);
      const usual = usualSession(snapshot);
      const searchPath = options.searchPath?.split(',').map((name) => name.trim()) ?? usual.searchPath;
      const session = { ...usual, searchPath };
      const dialect = options.dialect ?? snapshot?.dialect ?? configured;
      const reader = await StatementReader.create(dialect, snapshot);
      try {
        const estimate = options.rows === undefined ? null : { rows: options.rows };
        const moment = rehearsedMoment(sql, Date.now(), {}, [], session, estimate);
        const ruleSet = new RuleSet(sections.rules, version, sections);
        const judged = await judgeText(reader, ruleSet, sql, { subject, session, moment });
        if (options.json) console.log(JSON.stringify(asJson(judged, subject), null, 2));
        else console.log(asText(judged, subject, snapshot !== null));
      } finally {
        reader.close();
      }
    });
}

function rowsGiven(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Not a number of rows.');
  return Number(text);
}

async function asked(
  options: ExplainOptions,
): Promise<{ files: readonly string[]; subject: Subject; dialect: Dialect }> {
  if (options.rules !== undefined) {
    const subject = {
      identity: senderOf(options, null),
      connection: options.on,
      default: options.default ?? 'deny',
    };
    return { files: options.rules.filter((file) => !file.endsWith(TEST_SUFFIX)), subject, dialect: 'postgres' };
  }
  const config = await readOfflineConfig(options.config);
  const connection = connectionNamed(config, options.on);
  return {
    files: config.rules,
    subject: {
      identity: senderOf(options, config),
      connection: connection.name,
      default: options.default ?? connection.default,
    },
    dialect: connection.protocol,
  };
}

function asText(judged: JudgedText, subject: Subject, hasCatalogue: boolean): string {
  const { identity, connection } = subject;
  const groups = identity.groups.length === 0 ? 'no groups' : `groups ${identity.groups.join(', ')}`;
  const lines = [
    `${printable(identity.subject)} (${identity.kind}, ${printable(groups)}) on ${printable(connection)}, default ${subject.default}`,
    ...(hasCatalogue
      ? []
      : [styled('dim', 'Without --catalogue: what names mean is not looked up, and counts as unknown.')]),
  ];
  for (const statement of judged.statements) {
    lines.push('', styled('bold', trimmed(statement.text, 200)), `${statement.facts.kind}, it`);
    const words = factsInWords(statement.facts);
    lines.push(...(words.length === 0 ? ['  has no effects'] : words.map((line) => `  ${printable(line)}`)));
    const matching = statement.rules.filter(({ effects }) => effects.length > 0);
    lines.push(matching.length === 0 ? 'No rule matches.' : 'Rules that match:');
    lines.push(...matching.map((rule) => `  ${ruleText(rule)}: ${effectsText(rule)}`));
    const others = statement.rules.filter(({ effects }) => effects.length === 0);
    if (others.length > 0) lines.push('Rules that do not match:');
    lines.push(...others.map((rule) => `  ${ruleText(rule)}: ${printable(rule.because ?? '')}`));
    const { facts, verdict } = statement;
    lines.push(verdictText(statement), ...outputsText(facts, verdict.masks, verdict.action));
  }
  const { action, by, refusal } = judged;
  lines.push('', styled(COLOURS[action], `${action}${by.length > 0 ? `, by ${by.join(', ')}` : ''}`));
  if (refusal !== null) lines.push(`  ${printable(refusal.message)}`, `  ${printable(refusal.hint)}`);
  return lines.join('\n');
}

const COLOURS = { allow: 'green', hold: 'yellow', deny: 'red' } as const;

function ruleText({ id, action, shadow, isBudget }: ExplainedRule): string {
  return `${action.padEnd(5)} ${id}${isBudget ? ' (over its limit)' : ''}${shadow ? ' (shadow)' : ''}`;
}

function effectsText({ effects }: ExplainedRule): string {
  const words = [...new Set(effects.map((effect) => effectInWords(effect)))].map((text) => trimmed(text, 80));
  return words.length > 3 ? `${words.slice(0, 2).join('; ')}; ${words.length - 2} more` : words.join('; ');
}

/** The columns of the result and what becomes of them, as a table; nothing for a statement without a result. */
export function outputsText(facts: StatementFacts, plan: MaskPlan | null, action: Verdict['action']): string[] {
  const outputs = outputsInWords(facts.outputs, plan);
  if (outputs === null) return ['Which columns its result has cannot be told.'];
  if (outputs.length === 0) return [];
  const rows = outputs.map(({ name, from, columns, by, becomes }) => [
    printable(name),
    LINEAGE[from],
    trimmed(columns.join(', '), 60),
    printable(by.join(', ')),
    printable(becomes ?? 'as it is'),
  ]);
  const title = action === 'allow' ? 'Its result:' : 'Its result, were it allowed:';
  return [title, table(['COLUMN', 'IS', 'OF', 'MASKED BY', 'BECOMES'], rows)];
}

const LINEAGE = {
  none: 'no stored value',
  plain: 'the value',
  derived: 'computed',
  unknown: 'not known',
} as const;

function verdictText({ facts, verdict, rules }: JudgedStatement): string {
  if (verdict.action !== 'deny' || verdict.rule !== 'default') return `Verdict: ${verdict.action}`;
  const allowed = new Set(
    rules.filter(({ action, shadow }) => action === 'allow' && !shadow).flatMap(({ effects }) => effects),
  );
  const rest = facts.effects
    .filter((effect) => !allowed.has(effect))
    .map((effect) => trimmed(effectInWords(effect), 100));
  return `Verdict: deny, since no rule allows this: ${[...new Set(rest)].join('; ')}`;
}

function asJson({ action, by, refusal, statements }: JudgedText, subject: Subject) {
  return {
    identity: subject.identity,
    connection: subject.connection,
    default: subject.default,
    verdict: action,
    by,
    message: refusal?.message ?? null,
    hint: refusal?.hint ?? null,
    statements: statements.map(({ text, facts, verdict, rules }) => ({
      text,
      kind: facts.kind,
      fingerprint: facts.fingerprint,
      effects: facts.effects,
      outputs: outputsInWords(facts.outputs, verdict.masks),
      uses: facts.uses ?? null,
      refuses: facts.refuses,
      verdict: verdict.action,
      rules: rules.map(({ id, section, action, shadow, isBudget, effects, key, because }) => ({
        ...{ id, section, action, shadow, isBudget, matches: effects.length > 0, effects, key, because },
      })),
    })),
  };
}
