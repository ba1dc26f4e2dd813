import type { Command } from 'commander';
import { addRulesCatalog } from './rules-catalog.ts';
import { addRulesCheck } from './rules-check.ts';
import { addRulesExplain } from './rules-explain.ts';
import { addRulesBacktest, addRulesLearn } from './rules-recorded.ts';
import { addRulesTest } from './rules-test.ts';

export function addRulesCommand(program: Command): void {
  const rules = program.command('rules').description('Rule files: check, test, explain, try on what was recorded.');
  addRulesCheck(rules);
  addRulesTest(rules);
  addRulesExplain(rules);
  addRulesCatalog(rules);
  addRulesBacktest(rules);
  addRulesLearn(rules);
}
