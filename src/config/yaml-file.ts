/** YAML files that people write (sluice.yaml, rules, tests of rules), and what is wrong with them, at its place. */

import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { suggestion } from './suggestion.ts';

/** Where something stands in a file. Lines and columns are from 1; 1:1 where it is the file as a whole. */
export interface FilePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Where a value was given: in a file, or by an environment variable that replaces a value of the file. */
export type Where = FilePlace | { readonly variable: string };

/** One thing that is wrong. */
export type FileProblem = Where & { readonly message: string };

/** Everything that is wrong with files, not only the first of it. Nothing of them is used. */
export class InvalidFileError extends Error {
  override readonly name = 'InvalidFileError';
  readonly problems: readonly FileProblem[];

  constructor(problems: readonly FileProblem[]) {
    super(problems.map((problem) => `${whereText(problem)}: ${problem.message}`).join('\n'));
    this.problems = problems;
  }
}

function whereText(where: Where): string {
  return 'variable' in where ? `environment variable ${where.variable}` : `${where.file}:${where.line}:${where.column}`;
}

/** How one kind of file speaks of what is in it. */
export interface Wording {
  /** The keys that may stand at a place, for suggestions. */
  keysAt(path: readonly PropertyKey[]): Iterable<string>;
  /** What is said of a key that is none, without what was meant and without a full stop: `unknown key "efects" (rule one)`. */
  unknownKey(path: readonly PropertyKey[], key: string): string;
  /** What is said of a value: `effects must not be empty (rule one)`. */
  about(path: readonly PropertyKey[], message: string): string;
}

/** A file that is YAML; whether it says what it has to say is for a schema to find out. */
export class YamlFile {
  readonly path: string;
  readonly text: string;
  /** `null` for a file without anything in it. */
  readonly value: unknown;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  private constructor(path: string, text: string, document: Document.Parsed, lines: LineCounter, value: unknown) {
    this.path = path;
    this.text = text;
    this.value = value;
    this.#document = document;
    this.#lines = lines;
  }

  /** @throws InvalidFileError, no message of which quotes the file: a line of it may hold a secret */
  static read(path: string): YamlFile {
    const whole = { file: path, line: 1, column: 1 };
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
    } catch (error) {
      const reason = error instanceof TypeError ? 'it is not UTF-8' : (error as NodeJS.ErrnoException).code;
      throw new InvalidFileError([{ ...whole, message: `cannot be read: ${reason}` }]);
    }
    const lines = new LineCounter();
    // Not `prettyErrors`: they quote the line.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const faults = [...document.errors, ...document.warnings];
    if (faults.length > 0) {
      throw new InvalidFileError(
        faults.map(({ pos, message }) => ({ ...placeAt(path, lines, pos[0]), message: `${message} (YAML)` })),
      );
    }
    try {
      return new YamlFile(path, text, document, lines, document.toJS() ?? null);
    } catch (error) {
      // Aliases that would expand without end.
      throw new InvalidFileError([{ ...whole, message: `${(error as Error).message} (YAML)` }]);
    }
  }

  /** Where the value at a path of keys and indexes stands, or its key; for one that was left out, where its parent does. */
  placeOf(path: readonly PropertyKey[], of: 'value' | 'key' = 'value'): FilePlace {
    const document = this.#document;
    let node: unknown = document.contents;
    let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    for (const [depth, step] of path.entries()) {
      if (isNode(node) && 'resolve' in node) node = (node as { resolve(d: Document): unknown }).resolve(document);
      let next: unknown;
      if (isMap(node)) {
        const pair = node.items.find(
          (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
        );
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
    return placeAt(this.path, this.#lines, offset);
  }

  /** Where a position within the text of a single value is; `null` if the value does not stand in the file as it is. */
  placeWithin(path: readonly PropertyKey[], text: string, position: number): FilePlace | null {
    const node = this.#document.getIn(path, true);
    if (!isScalar(node) || !node.range) return null;
    const [from, to] = node.range;
    const start = this.text.slice(from, to).indexOf(text);
    return start < 0 ? null : placeAt(this.path, this.#lines, from + start + position);
  }

  /** What a schema found wrong, in the order it stands in the file. */
  problems(
    error: z.ZodError,
    wording: Wording,
    where: (path: readonly PropertyKey[], of: 'value' | 'key') => Where = (path, of) => this.placeOf(path, of),
  ): FileProblem[] {
    const problems = error.issues.flatMap((issue): FileProblem[] => {
      if (issue.code !== 'unrecognized_keys') {
        return [{ ...where(issue.path, 'value'), message: wording.about(issue.path, issue.message) }];
      }
      return issue.keys.map((key) => ({
        ...where([...issue.path, key], 'key'),
        message: `${wording.unknownKey(issue.path, key)}.${suggestion(key, wording.keysAt(issue.path))}`,
      }));
    });
    return problems.sort((a, b) => {
      if ('variable' in a || 'variable' in b) return Number('variable' in b) - Number('variable' in a);
      return a.line - b.line || a.column - b.column;
    });
  }
}

function placeAt(file: string, lines: LineCounter, offset: number): FilePlace {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
}

/** What is wrong with a value, in words for who wrote it: the `error` of a schema's check. */
export const explainShape: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_type') return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
  if (issue.code === 'invalid_value') return oneOf(issue.values.map(String), issue.input);
  // A list's item of one of several shapes, which one of its keys tells apart.
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined && Array.isArray(issue.options)) {
    return oneOf(issue.options.map(String), (issue.input as Record<string, unknown>)[issue.discriminator]);
  }
  if (issue.code === 'too_small') {
    return issue.origin === 'number' || issue.origin === 'int'
      ? `must be at least ${issue.minimum}`
      : 'must not be empty';
  }
  if (issue.code === 'too_big') return issue.origin === 'string' ? undefined : `must be at most ${issue.maximum}`;
  return undefined;
};

function oneOf(values: readonly string[], input: unknown): string {
  if (input === undefined) return 'is required';
  const meant = typeof input === 'string' ? suggestion(input, values) : '';
  return meant === ''
    ? `must be ${values.join(', ').replace(/, ([^,]*)$/, ' or $1')}`
    : `${JSON.stringify(input)} is not known.${meant}`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a mapping of keys to values',
  array: 'a list',
  string: 'a text (in quotes if it looks like a number)',
  number: 'a number',
  int: 'a whole number',
};
