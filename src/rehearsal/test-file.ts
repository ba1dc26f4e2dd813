import { dirname, join } from 'node:path';
import { z } from 'zod';
import { explainShape, type FilePlace, InvalidFileError, type Wording, YamlFile } from '../config/yaml-file.ts';
import { DIALECTS, type Dialect } from './statement-reader.ts';

/**
 * Test files, `*.test.yaml`: what rules are to say to statements.
 *
 * `given` says who sends them and how; a case can say parts of it differently. Relative paths are from the file's directory.
 */

/** How the names of test files end. */
export const TEST_SUFFIX = '.test.yaml';

const text = z.string().min(1);

const identity = z.strictObject({
  subject: text,
  kind: z.enum(['human', 'agent', 'service']),
  groups: z.array(text).optional(),
});

const session = z.strictObject({
  search_path: z.union([text.transform((schema) => [schema]), z.array(text)]).optional(),
  standard_conforming_strings: z.boolean().optional(),
  database: text.optional(),
  sql_mode: z.string().optional(),
});

const estimate = z.strictObject({ rows: z.number().nonnegative(), cost: z.number().nonnegative().optional() });

const situation = z.strictObject({
  identity,
  connection: text,
  default: z.enum(['allow', 'hold', 'deny']),
  session: session.optional(),
  claimed: z.record(text, z.string()).optional(),
  estimate: estimate.optional(),
  at: z.iso.datetime({ offset: true, error: 'must be a time such as 2026-03-02T10:00:00Z' }).optional(),
});

const testCase = z.strictObject({
  name: text.optional(),
  given: situation.partial().optional(),
  sql: z.string(),
  dialect: z.enum(DIALECTS).optional(),
  params: z.array(z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  expect: z.enum(['allow', 'hold', 'deny']),
  rules: z.array(text).optional(),
  masks: z.array(text).optional(),
  message: text.optional(),
});

const testFile = z.strictObject({
  given: situation,
  dialect: z.enum(DIALECTS).optional(),
  catalogue: text.optional(),
  rules: z.array(text).min(1),
  cases: z.array(testCase).min(1),
});

const KEYS = {
  file: testFile.shape,
  case: testCase.shape,
  given: situation.shape,
  identity: identity.shape,
  session: session.shape,
  estimate: estimate.shape,
};

export interface GivenSituation {
  readonly identity: {
    readonly subject: string;
    readonly kind: 'human' | 'agent' | 'service';
    readonly groups: string[];
  };
  readonly connection: string;
  readonly default: 'allow' | 'hold' | 'deny';
  readonly session: {
    readonly searchPath: readonly string[] | null;
    readonly standardConformingStrings: boolean | null;
    readonly database: string | null;
    readonly sqlMode: string | null;
  };
  readonly claimed: Readonly<Record<string, string>>;
  /** What the server expects of the statements; `null`: not known. */
  readonly estimate: { readonly rows: number; readonly cost?: number } | null;
  /** Milliseconds since 1970; `null`: when the test runs. */
  readonly at: number | null;
}

export interface TestCase {
  /** Its name, else its SQL. */
  readonly name: string;
  readonly place: FilePlace;
  readonly given: GivenSituation;
  readonly sql: string;
  readonly dialect: Dialect;
  readonly params: readonly (string | null)[];
  readonly expect: 'allow' | 'hold' | 'deny';
  /** Exactly the rules that decide, sorted; `null`: not looked at. */
  readonly rules: readonly string[] | null;
  /** Exactly the masks and detectors that have something to do with the result, sorted; `null`: not looked at. */
  readonly masks: readonly string[] | null;
  /** A part of the message; `null`: not looked at. */
  readonly message: string | null;
}

export interface TestFile {
  readonly path: string;
  /** Paths, from where the command runs. */
  readonly catalogue: string | null;
  readonly rules: readonly string[];
  readonly cases: readonly TestCase[];
}

/** Reads one test file. @throws InvalidFileError with everything that is wrong */
export function readTestFile(path: string): TestFile {
  const yaml = YamlFile.read(path);
  const shape = testFile.safeParse(yaml.value, { error: explainShape });
  if (!shape.success) throw new InvalidFileError(yaml.problems(shape.error, WORDING));
  const file = shape.data;
  const beside = (name: string) => join(dirname(path), name);
  return {
    path,
    catalogue: file.catalogue === undefined ? null : beside(file.catalogue),
    rules: file.rules.map(beside),
    cases: file.cases.map((one, index) => ({
      name: one.name ?? one.sql,
      place: yaml.placeOf(['cases', index]),
      given: situationOf({ ...file.given, ...present(one.given ?? {}) }),
      sql: one.sql,
      dialect: one.dialect ?? file.dialect ?? 'postgres',
      params: (one.params ?? []).map((value) => (value === null ? null : String(value))),
      expect: one.expect,
      rules: one.rules === undefined ? null : [...one.rules].sort(),
      masks: one.masks === undefined ? null : [...one.masks].sort(),
      message: one.message ?? null,
    })),
  };
}

/** Without the keys that were left out: they must not replace what is said for all cases. */
function present<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never;
}

function situationOf(given: z.infer<typeof situation>): GivenSituation {
  const { subject, kind, groups } = given.identity;
  return {
    identity: { subject, kind, groups: groups ?? [] },
    connection: given.connection,
    default: given.default,
    session: {
      searchPath: given.session?.search_path ?? null,
      standardConformingStrings: given.session?.standard_conforming_strings ?? null,
      database: given.session?.database ?? null,
      sqlMode: given.session?.sql_mode ?? null,
    },
    claimed: given.claimed ?? {},
    estimate: estimateOf(given.estimate),
    at: given.at === undefined ? null : Date.parse(given.at),
  };
}

function estimateOf(given: z.infer<typeof estimate> | undefined): GivenSituation['estimate'] {
  if (given === undefined) return null;
  return given.cost === undefined ? { rows: given.rows } : { rows: given.rows, cost: given.cost };
}

const WORDING: Wording = {
  keysAt,
  unknownKey: (_, key) => `unknown key "${key}"`,
  about: (path, message) => `${path.filter((step) => typeof step === 'string').at(-1) ?? 'the file'} ${message}`,
};

function keysAt(path: readonly PropertyKey[]): string[] {
  const last = path.at(-1);
  if (last === 'identity' || last === 'session' || last === 'estimate' || last === 'given')
    return Object.keys(KEYS[last]);
  return Object.keys(path.length === 0 ? KEYS.file : KEYS.case);
}
