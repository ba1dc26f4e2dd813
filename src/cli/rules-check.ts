import type { Command } from 'commander';
import { loadRules, RuleFileError } from '../policy/load.ts';
import { EXIT } from './failure.ts';

export function addRulesCommand(program: Command): void {
  const rules = program.command('rules').description('Rule files.');
  rules
    .command('check')
    .description('Checks rule files, taken together as one rule set; lists everything that is wrong.')
    .argument('<files...>', 'rule files')
    .option('--json', 'print JSON')
    .action((files: string[], options: { json?: true }) => {
      try {
        const { version, ids } = loadRules(files);
        if (options.json) console.log(JSON.stringify({ ok: true, version, rules: ids, problems: [] }));
        else console.log(`${ids.length} ${ids.length === 1 ? 'rule is' : 'rules are'} fine, version ${version}.`);
      } catch (error) {
        if (!(error instanceof RuleFileError) || !options.json) throw error;
        console.log(JSON.stringify({ ok: false, version: null, rules: [], problems: error.problems }));
        process.exitCode = EXIT.usage;
      }
    });
}
