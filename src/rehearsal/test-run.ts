import { readSnapshot } from '../catalog/snapshot.ts';
import type { FilePlace } from '../config/yaml-file.ts';
import { RuleSet } from '../policy/decide.ts';
import { readRuleFiles } from '../policy/load.ts';
import type { CatalogueData } from '../statements/catalogue.ts';
import { type JudgedText, judgeText, rehearsedMoment } from './judged-text.ts';
import { type Dialect, type SessionReading, StatementReader, usualSession } from './statement-reader.ts';
import type { GivenSituation, TestCase, TestFile } from './test-file.ts';

export interface CaseResult {
  readonly case: TestCase;
  readonly judged: JudgedText;
  /** What is not as expected, one line each; empty if the case passed. */
  readonly differences: readonly string[];
}

/** A rule that no case made match, or all of them that were tested. */
export interface RuleCoverage {
  readonly id: string;
  readonly place: FilePlace;
  readonly fired: boolean;
}

export interface TestRun {
  readonly results: readonly CaseResult[];
  /** Every rule of every file the tests name, in the order of files and lines. */
  readonly coverage: readonly RuleCoverage[];
}

/**
 * Runs test files.
 *
 * @param each called after each case
 * @throws InvalidFileError or SnapshotError if a file that a test names cannot be used
 */
export async function runTests(
  files: readonly TestFile[],
  each: (result: CaseResult) => void = () => undefined,
): Promise<TestRun> {
  const results: CaseResult[] = [];
  const coverage = new Map<string, RuleCoverage>();
  for (const file of files) {
    const { sections, version, places } = readRuleFiles(file.rules);
    const rules = new RuleSet(sections.rules, version, sections);
    const keyOf = (id: string) => `${places.get(id)!.file} ${id}`;
    for (const id of rules.ids) {
      const place = places.get(id)!;
      if (!coverage.has(keyOf(id))) coverage.set(keyOf(id), { id, place, fired: false });
    }
    const snapshot = file.catalogue === null ? null : await readSnapshot(file.catalogue);
    const readers = new Map<Dialect, StatementReader>();
    try {
      for (const one of file.cases) {
        const reader = readers.get(one.dialect) ?? (await StatementReader.create(one.dialect, snapshot));
        readers.set(one.dialect, reader);
        const session = sessionOf(one.given, snapshot);
        const { at, claimed, estimate } = one.given;
        const judged = await judgeText(reader, rules, one.sql, {
          subject: one.given,
          session,
          moment: rehearsedMoment(one.sql, at ?? Date.now(), claimed, one.params, session, estimate),
        });
        for (const { rules: explained } of judged.statements) {
          for (const { id, effects } of explained) {
            if (effects.length > 0) coverage.set(keyOf(id), { ...coverage.get(keyOf(id))!, fired: true });
          }
        }
        for (const id of judged.masks) coverage.set(keyOf(id), { ...coverage.get(keyOf(id))!, fired: true });
        const result = { case: one, judged, differences: differencesOf(one, judged) };
        results.push(result);
        each(result);
      }
    } finally {
      for (const reader of readers.values()) reader.close();
    }
  }
  return { results, coverage: [...coverage.values()].sort(byPlace) };
}

function sessionOf({ session }: GivenSituation, snapshot: CatalogueData | null): SessionReading {
  const usual = usualSession(snapshot);
  return {
    searchPath: session.searchPath ?? usual.searchPath,
    standardConformingStrings: session.standardConformingStrings ?? usual.standardConformingStrings,
    database: session.database ?? usual.database,
    sqlMode: session.sqlMode ?? usual.sqlMode,
  };
}

function differencesOf({ expect, rules, masks, message }: TestCase, judged: JudgedText): string[] {
  const differences: string[] = [];
  if (judged.action !== expect) differences.push(`expected ${expect}, got ${judged.action}`);
  if (rules !== null) {
    const missing = rules.filter((id) => !judged.by.includes(id));
    const extra = judged.by.filter((id) => !rules.includes(id));
    if (missing.length > 0) differences.push(`not decided by ${missing.join(', ')}`);
    if (extra.length > 0) differences.push(`decided by ${extra.join(', ')}, which was not expected`);
  }
  if (masks !== null && masks.join() !== judged.masks.join()) {
    differences.push(`expected masks [${masks.join(', ')}], got [${judged.masks.join(', ')}]`);
  }
  if (message !== null && judged.refusal?.message.includes(message) !== true) {
    const got = judged.refusal === null ? 'there is no message' : `the message is "${judged.refusal.message}"`;
    differences.push(`expected a message with "${message}": ${got}`);
  }
  return differences;
}

function byPlace({ place: a }: RuleCoverage, { place: b }: RuleCoverage): number {
  return a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column;
}
