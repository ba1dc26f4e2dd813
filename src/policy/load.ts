import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { suggestion } from '../config/suggestion.ts';
import { type LoadedRule, RuleSet } from './decide.ts';
import { keysAt, type RuleFile, ruleFileSchema } from './rule-schema.ts';

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

/**
 * Reads rule files as one rule set. No files make the empty set, under which a connection's default decides alone.
 * Throws a {@link RuleFileError}; there is no partial load.
 */
export function loadRules(paths: readonly string[]): RuleSet {
  const problems: RuleProblem[] = [];
  const rules: LoadedRule[] = [];
  const where = new Map<string, string>();
  const contents = createHash('sha256');
  for (const path of paths) {
    const source = readSource(path, problems);
    if (source === null) continue;
    contents.update(`${source.text.length}\n${source.text}`);
    for (const [index, rule] of source.file.rules.entries()) {
      const place = placeOf(source, ['rules', index, 'id']);
      const before = where.get(rule.id);
      if (before !== undefined) {
        problems.push({ ...place, message: `rule id "${rule.id}" is there already, at ${before}` });
        continue;
      }
      where.set(rule.id, `${place.file}:${place.line}:${place.column}`);
      rules.push({ rule, shadow: (rule.mode ?? source.file.mode) === 'shadow' });
    }
  }
  if (problems.length > 0) throw new RuleFileError(problems);
  return new RuleSet(rules, contents.digest('hex').slice(0, 16));
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
  const shape = ruleFileSchema.safeParse(value, { error: explain });
  if (shape.success) return { path, text, file: shape.data, document, lines };
  const wrong = shape.error.issues.flatMap((issue) => describe(issue, { path, document, lines }, value));
  problems.push(...wrong.sort((a, b) => a.line - b.line || a.column - b.column));
  return null;
}

const explain: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_type') return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const given = typeof issue.input === 'string' ? suggestion(issue.input, values) : '';
    return given === ''
      ? `must be ${values.join(', ').replace(/, ([^,]*)$/, ' or $1')}`
      : `${JSON.stringify(issue.input)} is not known.${given}`;
  }
  if (issue.code === 'too_small') return 'must not be empty';
  return undefined;
};

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping of keys to values',
  array: 'a list',
  string: 'a text (in quotes if it looks like a number)',
};

type Positions = Pick<Source, 'path' | 'document' | 'lines'>;

function describe(issue: z.core.$ZodIssue, source: Positions, value: unknown): RuleProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      ...placeOf(source, [...issue.path, key]),
      message: `unknown key "${key}"${inRule(issue.path, value)}.${suggestion(key, keysAt(issue.path))}`,
    }));
  }
  const field = issue.path.filter((step) => typeof step === 'string').at(-1);
  const subject =
    field === undefined ? '' : `${field === 'rules' && issue.path.length > 1 ? 'a rule' : String(field)} `;
  return [{ ...placeOf(source, issue.path), message: `${subject}${issue.message}${inRule(issue.path, value)}` }];
}

/** ` (rule x)` for a place inside the rule x. */
function inRule(path: readonly PropertyKey[], value: unknown): string {
  if (path[0] !== 'rules' || typeof path[1] !== 'number') return '';
  const rules = (value as { rules?: unknown }).rules;
  const id = Array.isArray(rules) ? (rules[path[1]] as { id?: unknown } | null)?.id : undefined;
  return typeof id === 'string' ? ` (rule ${id})` : '';
}

/** Where the value at a path stands; for one that was left out, where its parent does. */
function placeOf(source: Positions, path: readonly PropertyKey[]): Omit<RuleProblem, 'message'> {
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
      const shown = depth === path.length - 1 && isScalar(next) ? next : pair.key;
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

function position(file: string, lines: LineCounter, offset: number): Omit<RuleProblem, 'message'> {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
}
