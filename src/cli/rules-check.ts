import type { Command } from 'commander';
import { Catalogue } from '../catalog/catalogue.ts';
import { readSnapshot } from '../catalog/snapshot.ts';
import { type FileProblem, InvalidFileError } from '../config/yaml-file.ts';
import type { RuleSet } from '../policy/decide.ts';
import { findMistakes, type RuleFinding } from '../policy/findings.ts';
import { loadRules, readRuleFiles } from '../policy/load.ts';
import { namesOf } from '../rehearsal/catalogue-names.ts';
import { readTestFile, TEST_SUFFIX } from '../rehearsal/test-file.ts';
import { EXIT } from './failure.ts';
import { printable } from './terminal.ts';

interface CheckOptions {
  readonly catalogue?: string;
  readonly json?: true;
}

export function addRulesCheck(rules: Command): void {
  rules
    .command('check')
    .description('Checks rule files, taken together as one rule set; lists everything that is wrong.')
    .argument('<files...>', `rule files; *${TEST_SUFFIX} among them are looked at as test files`)
    .option('--catalogue <snapshot>', 'also look up the names in them, in a file `rules catalog` has written')
    .option('--json', 'print JSON')
    .action(async (files: string[], options: CheckOptions) => {
      try {
        const rules = files.filter((file) => !file.endsWith(TEST_SUFFIX));
        const { version, ids } = load(
          rules,
          files.filter((file) => file.endsWith(TEST_SUFFIX)),
        );
        const findings = await mistakesIn(rules, options.catalogue);
        if (options.json) {
          console.log(JSON.stringify({ ok: findings.length === 0, version, rules: ids, problems: [], findings }));
        } else {
          for (const { file, line, column, rule, message } of findings) {
            console.log(printable(`${file}:${line}:${column}: ${message} (${rule})`));
          }
          const count = `${ids.length} ${ids.length === 1 ? 'rule' : 'rules'}`;
          if (findings.length > 0)
            console.log(`${count} can be loaded, version ${version}; see above for what is odd.`);
          else console.log(`${count} ${ids.length === 1 ? 'is' : 'are'} fine, version ${version}.`);
        }
        if (findings.length > 0) process.exitCode = EXIT.problem;
      } catch (error) {
        if (!(error instanceof InvalidFileError) || !options.json) throw error;
        console.log(JSON.stringify({ ok: false, version: null, rules: [], problems: error.problems, findings: [] }));
        process.exitCode = EXIT.usage;
      }
    });
}

/** @throws InvalidFileError with what is wrong with all files, of both kinds */
function load(rules: readonly string[], tests: readonly string[]): RuleSet {
  const problems: FileProblem[] = [];
  const collecting = <T>(read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof InvalidFileError)) throw error;
      problems.push(...error.problems);
      return null;
    }
  };
  const ruleSet = collecting(() => loadRules(rules));
  for (const test of tests) collecting(() => readTestFile(test));
  if (problems.length > 0) throw new InvalidFileError(problems);
  return ruleSet!;
}

async function mistakesIn(files: readonly string[], snapshot: string | undefined): Promise<RuleFinding[]> {
  const catalogue = snapshot === undefined ? null : Catalogue.of(await readSnapshot(snapshot));
  return findMistakes(readRuleFiles(files), Date.now(), catalogue === null ? null : namesOf(catalogue.data));
}
