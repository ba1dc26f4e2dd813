import { type Command, Option } from 'commander';
import { readSnapshot } from '../catalog/snapshot.ts';
import { RuleSet, type Subject } from '../policy/decide.ts';
import type { ExplainedRule } from '../policy/explain.ts';
import { readRuleFiles } from '../policy/load.ts';
import { effectInWords, factsInWords } from '../rehearsal/facts-in-words.ts';
import { type JudgedStatement, type JudgedText, judgeText, rehearsedMoment } from '../rehearsal/judged-text.ts';
import { DIALECTS, type Dialect, StatementReader, usualSession } from '../rehearsal/statement-reader.ts';
import { TEST_SUFFIX } from '../rehearsal/test-file.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { connectionNamed, readOfflineConfig } from './offline-config.ts';
import { printable, styled, trimmed } from './terminal.ts';

interface ExplainOptions {
  readonly as: string;
  readonly groups?: string;
  readonly kind?: 'human' | 'agent' | 'service';
  readonly on: string;
  readonly config: string;
  readonly rules?: string[];
  readonly default?: 'allow' | 'hold' | 'deny';
  readonly catalogue?: string;
  readonly dialect?: Dialect;
  readonly searchPath?: string;
  readonly json?: true;
}

export function addRulesExplain(rules: Command): void {
  rules
    .command('explain')
    .description('Says what a statement does, what becomes of it, and what each rule says to it. Runs nothing.')
    .argument('<sql>', 'statement, or several')
    .requiredOption('--as <name>', 'who sends it: a user of the configuration, or a name with --kind and --groups')
    .requiredOption('--on <connection>', 'connection')
    .addOption(new Option('--kind <kind>', 'what the identity is').choices(['human', 'agent', 'service']))
    .option('--groups <names>', 'groups of the identity, with commas')
    .option('-c, --config <file>', 'configuration file, for rules, users and defaults', 'sluice.yaml')
    .option('--rules <files...>', 'these rule files instead; no configuration file is read')
    .addOption(new Option('--default <verdict>', 'verdict where no rule matches').choices(['allow', 'hold', 'deny']))
    .option('--catalogue <snapshot>', 'catalogue to look names up in, a file `rules catalog` has written')
    .addOption(new Option('--dialect <dialect>', 'whose SQL it is').choices([...DIALECTS]))
    .option('--search-path <schemas>', 'where PostgreSQL looks for names without schema, with commas')
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
        const moment = rehearsedMoment(sql, Date.now(), {}, [], session);
        const ruleSet = new RuleSet(sections.rules, version, sections);
        const judged = await judgeText(reader, ruleSet, sql, { subject, session, moment });
        if (options.json) console.log(JSON.stringify(asJson(judged, subject), null, 2));
        else console.log(asText(judged, subject, snapshot !== null));
      } finally {
        reader.close();
      }
    });
}

async function asked(
  options: ExplainOptions,
): Promise<{ files: readonly string[]; subject: Subject; dialect: Dialect }> {
  const groups = options.groups?.split(',').map((name) => name.trim());
  const identity = (kind: Subject['identity']['kind'], known: readonly string[]) => ({
    subject: options.as,
    kind: options.kind ?? kind,
    groups: groups ?? known,
  });
  if (options.rules !== undefined) {
    if (options.kind === undefined) {
      throw new CommandFailure(
        EXIT.usage,
        'With --rules, say with --kind what the identity is: human, agent or service.',
      );
    }
    const subject = {
      identity: identity(options.kind, []),
      connection: options.on,
      default: options.default ?? 'deny',
    };
    return { files: options.rules.filter((file) => !file.endsWith(TEST_SUFFIX)), subject, dialect: 'postgres' };
  }
  const config = await readOfflineConfig(options.config);
  const connection = connectionNamed(config, options.on);
  const user = config.users.find(({ name }) => name === options.as);
  if (user === undefined && options.kind === undefined) {
    const message = `${config.file} has no user ${printable(options.as)}; say with --kind what else it is.`;
    throw new CommandFailure(EXIT.usage, message);
  }
  return {
    files: config.rules,
    subject: {
      identity: identity(user?.kind ?? 'human', user?.groups ?? []),
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
    lines.push(verdictText(statement));
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
      outputs: facts.outputs ?? null,
      uses: facts.uses ?? null,
      refuses: facts.refuses,
      verdict: verdict.action,
      rules: rules.map(({ id, section, action, shadow, isBudget, effects, key, because }) => ({
        ...{ id, section, action, shadow, isBudget, matches: effects.length > 0, effects, key, because },
      })),
    })),
  };
}
