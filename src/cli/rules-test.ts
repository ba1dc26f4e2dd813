import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { type FileProblem, InvalidFileError } from '../config/yaml-file.ts';
import { readTestFile, TEST_SUFFIX, type TestFile } from '../rehearsal/test-file.ts';
import { type CaseResult, runTests, type TestRun } from '../rehearsal/test-run.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { printable, styled, trimmed } from './terminal.ts';

export function addRulesTest(rules: Command): void {
  rules
    .command('test')
    .description('Runs test files: what rules are to say to statements. Tells which rules no test made match.')
    .argument('[files...]', `*${TEST_SUFFIX} files, rule files with such a file beside them, or directories`, ['rules'])
    .option('--json', 'print JSON')
    .action(async (paths: string[], options: { json?: true }) => {
      const run = await runTests(readAll(paths.flatMap(testFilesAt)));
      const failed = run.results.filter(({ differences }) => differences.length > 0);
      console.log(options.json ? JSON.stringify(asJson(run), null, 2) : asText(run, failed));
      if (failed.length > 0) process.exitCode = EXIT.problem;
    });
}

function testFilesAt(path: string): string[] {
  if (!existsSync(path)) throw new CommandFailure(EXIT.usage, `There is no ${path}.`);
  if (statSync(path).isDirectory()) {
    const files = readdirSync(path).filter((name) => name.endsWith(TEST_SUFFIX));
    if (files.length === 0) throw new CommandFailure(EXIT.usage, `There is no *${TEST_SUFFIX} in ${path}.`);
    return files.sort().map((name) => join(path, name));
  }
  if (path.endsWith(TEST_SUFFIX)) return [path];
  const beside = path.replace(/\.ya?ml$/, TEST_SUFFIX);
  if (existsSync(beside)) return [beside];
  throw new CommandFailure(EXIT.usage, `There is no ${basename(beside)} beside ${path}.`);
}

/** All problems of all files at once. */
function readAll(paths: readonly string[]): TestFile[] {
  const files: TestFile[] = [];
  const problems: FileProblem[] = [];
  for (const path of paths) {
    try {
      files.push(readTestFile(path));
    } catch (error) {
      if (!(error instanceof InvalidFileError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InvalidFileError(problems);
  return files;
}

function asText({ results, coverage }: TestRun, failed: readonly CaseResult[]): string {
  const lines: string[] = [];
  for (const { case: one, judged, differences } of failed) {
    const { file, line } = one.place;
    lines.push(`${styled('red', 'FAIL')} ${file}:${line} ${trimmed(one.name, 100)}`);
    for (const difference of differences) lines.push(`     ${printable(difference)}`);
    if (one.name !== one.sql) lines.push(`     sql: ${trimmed(one.sql, 100)}`);
    lines.push(`     ${judged.action}${judged.by.length > 0 ? ` by ${judged.by.join(', ')}` : ''}${reason(judged)}`);
  }
  const total = `${results.length} ${results.length === 1 ? 'case' : 'cases'}`;
  lines.push(failed.length === 0 ? `${total}, all as expected.` : `${failed.length} of ${total} failed.`);
  const silent = coverage.filter(({ fired }) => !fired);
  if (silent.length === 0) lines.push(`Every one of ${coverage.length} rules matched in some case.`);
  else {
    lines.push(`${silent.length} of ${coverage.length} rules matched in no case:`);
    for (const { id, place } of silent) lines.push(`  ${place.file}:${place.line} ${id}`);
  }
  return lines.join('\n');
}

function reason({ refusal }: CaseResult['judged']): string {
  return refusal === null ? '' : `: ${printable(refusal.message)}`;
}

function asJson({ results, coverage }: TestRun) {
  return {
    ok: results.every(({ differences }) => differences.length === 0),
    cases: results.map(({ case: one, judged, differences }) => ({
      file: one.place.file,
      line: one.place.line,
      name: one.name,
      ok: differences.length === 0,
      expected: one.expect,
      verdict: judged.action,
      rules: judged.by,
      message: judged.refusal?.message ?? null,
      differences,
    })),
    unmatched: coverage
      .filter(({ fired }) => !fired)
      .map(({ id, place }) => ({ file: place.file, line: place.line, rule: id })),
  };
}
