import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { suggestion } from '../config/suggestion.ts';
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

/** One thing that is wrong with a rule file. */
export interface RuleProblem {
  readonly file: string;
  /** From 1; 1:1 where the problem is the file as a whole. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Everything that is wrong with a set of rule files. Nothing of the set is loaded. */
export class RuleFileError extends Error {
  override readonly name = 'RuleFileError';
  readonly problems: readonly RuleProblem[];

  constructor(problems: readonly RuleProblem[]) {
    super(problems.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`).join('\n'));
    this.problems = problems;
  }
}

/** Where a rule, mask, detector or session rule stands. */
export interface RulePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Rule files that are right, before they are compiled. */
export interface RuleFiles {
  /** The sections of all files, and whether each rule is a shadow rule. */
  readonly sections: { readonly rules: readonly LoadedRule[] } & OtherSections;
  /** Hash of the files' contents, 16 hex digits. */
  readonly version: string;
  readonly places: ReadonlyMap<string, RulePlace>;
}

/**
 * Reads rule files as one rule set. No files make the empty set, under which a connection's default decides alone.
 * Throws a {@link RuleFileError}; there is no partial load.
 */
export function loadRules(paths: readonly string[]): RuleSet {
  const { sections, version } = readRuleFiles(paths);
  return new RuleSet(sections.rules, version, sections);
}

/** The first half of {@link loadRules}, for those who look at rules rather than ask them. */
export function readRuleFiles(paths: readonly string[]): RuleFiles {
  const problems: RuleProblem[] = [];
  const rules: LoadedRule[] = [];
  const session: SessionRuleSource[] = [];
  const masks: { mask: MaskSource; shadow: boolean }[] = [];
  const detectors: { detector: DetectorSource; shadow: boolean }[] = [];
  const places = new Map<string, RulePlace>();
  const contents: string[] = [];
  for (const path of paths) {
    const source = readSource(path, problems);
    if (source === null) continue;
    contents.push(`${source.text.length}\n${source.text}`);
    /** False, and a problem, if the id is there already. */
    const isNew = (section: string, index: number, id: string): boolean => {
      const place = placeOf(source, [section, index, 'id']);
      const before = places.get(id);
      if (before === undefined) places.set(id, place);
      else {
        const there = `${before.file}:${before.line}:${before.column}`;
        problems.push({ ...place, message: `rule id "${id}" is there already, at ${there}` });
      }
      return before === undefined;
    };
    const { file } = source;
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
  if (problems.length > 0) throw new RuleFileError(problems);
  return { sections: { rules, session, masks, detectors }, version: versionOf(contents), places };
}

/** Of the contents alone: the order of files means nothing. */
function versionOf(contents: readonly string[]): string {
  const hash = createHash('sha256');
  for (const content of [...contents].sort()) hash.update(content);
  return hash.digest('hex').slice(0, 16);
}

/** What is wrong with `if:`, at its place in the file where the text stands there as it is, else at the key. */
function expressionProblems(source: Source, index: number, rule: RuleSource): RuleProblem[] {
  if (rule.if === undefined) return [];
  const fault = compileExpression(rule.if);
  if (!isFault(fault)) return [];
  const node = source.document.getIn(['rules', index, 'if'], true);
  const [from, to] = isScalar(node) && node.range ? node.range : [0, 0];
  const within = source.text.slice(from, to).indexOf(rule.if);
  const inRule = `(rule ${rule.id})`;
  if (within >= 0 && fault.line === 1) {
    const place = position(source.path, source.lines, from + within + fault.column - 1);
    return [{ ...place, message: `if: ${fault.message} ${inRule}` }];
  }
  const where = `line ${fault.line}, column ${fault.column} of the expression`;
  return [{ ...placeOf(source, ['rules', index, 'if']), message: `if: ${fault.message} (${where}) ${inRule}` }];
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly file: RuleFile;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

function readSource(path: string, problems: RuleProblem[]): Source | null {
  const whole = { file: path, line: 1, column: 1 };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8' : (error as NodeJS.ErrnoException).code;
    problems.push({ ...whole, message: `cannot be read: ${reason}` });
    return null;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    problems.push({ ...position(path, lines, fault.pos[0]), message: `${fault.message} (YAML)` });
  }
  if (faults.length > 0) return null;
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // Aliases that would expand without end.
    problems.push({ ...whole, message: `${(error as Error).message} (YAML)` });
    return null;
  }
  if (value === null || value === undefined) {
    problems.push({ ...whole, message: 'is empty; a file without rules says "version: 1" and "rules: []"' });
    return null;
  }
  const shape = ruleFileSchema.safeParse(value, { error: explainShape });
  if (shape.success) return { path, text, file: shape.data, document, lines };
  const wrong = shape.error.issues.flatMap((issue) => describe(issue, { path, document, lines }, value));
  problems.push(...wrong.sort((a, b) => a.line - b.line || a.column - b.column));
  return null;
}

/** What is wrong with a value, in the words of rule files. */
export const explainShape: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_type') return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const given = typeof issue.input === 'string' ? suggestion(issue.input, values) : '';
    return given === ''
      ? `must be ${values.join(', ').replace(/, ([^,]*)$/, ' or $1')}`
      : `${JSON.stringify(issue.input)} is not known.${given}`;
  }
  if (issue.code === 'too_small') {
    return issue.origin === 'number' || issue.origin === 'int'
      ? `must be at least ${issue.minimum}`
      : 'must not be empty';
  }
  if (issue.code === 'too_big') return issue.origin === 'string' ? undefined : `must be at most ${issue.maximum}`;
  return undefined;
};

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping of keys to values',
  array: 'a list',
  string: 'a text (in quotes if it looks like a number)',
  number: 'a number',
  int: 'a whole number',
};

/** A YAML file in which places are looked for. */
export type Positions = Pick<Source, 'path' | 'document' | 'lines'>;

function describe(issue: z.core.$ZodIssue, source: Positions, value: unknown): RuleProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      ...placeOf(source, [...issue.path, key], 'key'),
      message: `unknown key "${key}"${inRule(issue.path, value)}.${suggestion(key, keysAt(issue.path))}`,
    }));
  }
  const field = issue.path.filter((step) => typeof step === 'string').at(-1);
  const subject =
    field === undefined ? '' : `${field in KINDS && issue.path.length === 2 ? KINDS[field] : String(field)} `;
  return [{ ...placeOf(source, issue.path), message: `${subject}${issue.message}${inRule(issue.path, value)}` }];
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

/** Where the value at a path stands, or its key; for one that was left out, where its parent does. */
export function placeOf(source: Positions, path: readonly PropertyKey[], of: 'value' | 'key' = 'value'): RulePlace {
  let node: unknown = source.document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [depth, step] of path.entries()) {
    if (isNode(node) && 'resolve' in node) node = (node as { resolve(d: Document): unknown }).resolve(source.document);
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === step);
      if (pair === undefined) break;
      next = pair.value;
      // A key is the place of a key that is unknown, and of what is below it until that has a place of its own.
      const shown = of === 'value' && depth === path.length - 1 && isScalar(next) ? next : pair.key;
      if (isNode(shown)) offset = shown.range?.[0] ?? offset;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    if (next === undefined || next === null) break;
    node = next;
  }
  return position(source.path, source.lines, offset);
}

function position(file: string, lines: LineCounter, offset: number): RulePlace {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
}
