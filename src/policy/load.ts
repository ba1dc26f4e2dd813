import { createHash } from 'node:crypto';
import {
  explainShape,
  type FilePlace,
  type FileProblem,
  InvalidFileError,
  type Wording,
  YamlFile,
} from '../config/yaml-file.ts';
import { type LoadedRule, type OtherSections, RuleSet } from './decide.ts';
import { compileExpression, isFault } from './expression.ts';
import { keysAt } from './json-schema.ts';
import {
  type DetectorSource,
  type MaskSource,
  type RuleFile,
  type RuleSource,
  ruleFileSchema,
  type SessionRuleSource,
} from './rule-schema.ts';

/** Rule files that are right, before they are compiled. */
export interface RuleFiles {
  /** The sections of all files, and whether each rule is a shadow rule. */
  readonly sections: { readonly rules: readonly LoadedRule[] } & OtherSections;
  /** Hash of the files' contents, 16 hex digits. */
  readonly version: string;
  readonly places: ReadonlyMap<string, FilePlace>;
}

/**
 * Reads rule files as one rule set. No files make the empty set, under which a connection's default decides alone.
 * Throws an {@link InvalidFileError}; there is no partial load.
 */
export function loadRules(paths: readonly string[]): RuleSet {
  const { sections, version } = readRuleFiles(paths);
  return new RuleSet(sections.rules, version, sections);
}

/** The first half of {@link loadRules}, for those who look at rules rather than ask them. */
export function readRuleFiles(paths: readonly string[]): RuleFiles {
  const problems: FileProblem[] = [];
  const rules: LoadedRule[] = [];
  const session: SessionRuleSource[] = [];
  const masks: { mask: MaskSource; shadow: boolean }[] = [];
  const detectors: { detector: DetectorSource; shadow: boolean }[] = [];
  const places = new Map<string, FilePlace>();
  const contents: string[] = [];
  for (const path of paths) {
    let source: Source;
    try {
      source = readSource(path);
    } catch (error) {
      if (!(error instanceof InvalidFileError)) throw error;
      problems.push(...error.problems);
      continue;
    }
    const { yaml, file } = source;
    contents.push(`${yaml.text.length}\n${yaml.text}`);
    /** False, and a problem, if the id is there already. */
    const isNew = (section: string, index: number, id: string): boolean => {
      const place = yaml.placeOf([section, index, 'id']);
      const before = places.get(id);
      if (before === undefined) places.set(id, place);
      else {
        const there = `${before.file}:${before.line}:${before.column}`;
        problems.push({ ...place, message: `rule id "${id}" is there already, at ${there}` });
      }
      return before === undefined;
    };
    const isShadow = (mode: 'enforce' | 'shadow' | undefined) => (mode ?? file.mode) === 'shadow';
    for (const [index, rule] of (file.rules ?? []).entries()) {
      if (!isNew('rules', index, rule.id)) continue;
      problems.push(...expressionProblems(source, index, rule));
      rules.push({ rule, shadow: isShadow(rule.mode) });
    }
    for (const [index, one] of (file.session ?? []).entries()) if (isNew('session', index, one.id)) session.push(one);
    for (const [index, mask] of (file.masks ?? []).entries()) {
      if (isNew('masks', index, mask.id)) masks.push({ mask, shadow: isShadow(mask.mode) });
    }
    for (const [index, detector] of (file.detectors ?? []).entries()) {
      if (isNew('detectors', index, detector.id)) detectors.push({ detector, shadow: isShadow(detector.mode) });
    }
  }
  if (problems.length > 0) throw new InvalidFileError(problems);
  return { sections: { rules, session, masks, detectors }, version: versionOf(contents), places };
}

/** Of the contents alone: the order of files means nothing. */
function versionOf(contents: readonly string[]): string {
  const hash = createHash('sha256');
  for (const content of [...contents].sort()) hash.update(content);
  return hash.digest('hex').slice(0, 16);
}

/** What is wrong with `if:`, at its place in the file where the text stands there as it is, else at the key. */
function expressionProblems({ yaml }: Source, index: number, rule: RuleSource): FileProblem[] {
  if (rule.if === undefined) return [];
  const fault = compileExpression(rule.if);
  if (!isFault(fault)) return [];
  const path = ['rules', index, 'if'];
  const inRule = `(rule ${rule.id})`;
  const place = fault.line === 1 ? yaml.placeWithin(path, rule.if, fault.column - 1) : null;
  if (place !== null) return [{ ...place, message: `if: ${fault.message} ${inRule}` }];
  const where = `line ${fault.line}, column ${fault.column} of the expression`;
  return [{ ...yaml.placeOf(path), message: `if: ${fault.message} (${where}) ${inRule}` }];
}

interface Source {
  readonly yaml: YamlFile;
  readonly file: RuleFile;
}

/** @throws InvalidFileError */
function readSource(path: string): Source {
  const yaml = YamlFile.read(path);
  if (yaml.value === null) {
    const message = 'is empty; a file without rules says "version: 1" and "rules: []"';
    throw new InvalidFileError([{ file: path, line: 1, column: 1, message }]);
  }
  const shape = ruleFileSchema.safeParse(yaml.value, { error: explainShape });
  if (!shape.success) throw new InvalidFileError(yaml.problems(shape.error, wordingOf(yaml.value)));
  return { yaml, file: shape.data };
}

function wordingOf(value: unknown): Wording {
  return {
    keysAt,
    unknownKey: (path, key) => `unknown key "${key}"${inRule(path, value)}`,
    about: (path, message) => {
      const field = path.filter((step) => typeof step === 'string').at(-1);
      const subject =
        field === undefined ? '' : `${field in KINDS && path.length === 2 ? KINDS[field] : String(field)} `;
      return `${subject}${message}${inRule(path, value)}`;
    },
  };
}

/** What the items of each section are called. */
const KINDS: Readonly<Record<string, string>> = {
  rules: 'rule',
  session: 'session rule',
  masks: 'mask',
  detectors: 'detector',
};

/** ` (rule x)` for a place inside the rule x. */
function inRule(path: readonly PropertyKey[], value: unknown): string {
  const [section, index] = path;
  if (typeof section !== 'string' || typeof index !== 'number' || !(section in KINDS)) return '';
  const items = (value as Record<string, unknown>)[section];
  const id = Array.isArray(items) ? (items[index] as { id?: unknown } | null)?.id : undefined;
  return typeof id === 'string' ? ` (${KINDS[section]} ${id})` : '';
}
