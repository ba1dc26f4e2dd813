import { z } from 'zod';
import { EFFECT_CLASSES, type EffectName } from '../statements/facts.ts';

/** The shape of a rule file, version 1. What the keys mean is in decide.ts. */

/** Every effect, to be written in `effects:`. A type error here means facts.ts has an effect this list does not. */
const EFFECTS: Readonly<Record<EffectName, true>> = {
  read: true,
  insert: true,
  update: true,
  delete: true,
  merge: true,
  truncate: true,
  'copy-in': true,
  'copy-out': true,
  create: true,
  alter: true,
  drop: true,
  rename: true,
  comment: true,
  grant: true,
  revoke: true,
  role: true,
  'set-session': true,
  'set-role': true,
  'set-global': true,
  'call-function': true,
  'call-procedure': true,
  file: true,
  program: true,
  network: true,
  'large-object': true,
  lock: true,
  maintenance: true,
  admin: true,
  transaction: true,
  cursor: true,
  notify: true,
  listen: true,
  prepare: true,
  execute: true,
  explain: true,
  resource: true,
  opaque: true,
};

/** Names of single effects and of classes; where one name is both, it means the class. */
export const EFFECT_NAMES = [...new Set([...Object.keys(EFFECTS), ...Object.keys(EFFECT_CLASSES)])] as [
  string,
  ...string[],
];

const text = z.string().min(1);

/** One value or a list of them; a list that is there has something in it, or the rule could never match. */
function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(item).min(1));
}

/** `table` or `schema.table`; `*` stands for anything. */
const objectPattern = text.refine((pattern) => pattern.split('.').length <= 2 && !pattern.split('.').includes(''), {
  message: 'must be a name or schema.name, with * for anything',
});

/** A condition without keys always holds; where that is never meant, it is a mistake. */
function notEmpty<Shape extends z.ZodObject>(object: Shape) {
  return object.refine((value) => Object.keys(value).length > 0, {
    message: 'must have at least one key',
    when: ({ issues }) => issues.length === 0,
  });
}

const identities = z.strictObject({
  subjects: oneOrMore(text).optional(),
  groups: oneOrMore(text).optional(),
  kind: oneOrMore(z.enum(['human', 'agent', 'service'])).optional(),
});

const condition = z.strictObject({
  connections: oneOrMore(text).optional(),
  identities: notEmpty(identities).optional(),
  effects: oneOrMore(z.enum(EFFECT_NAMES)).optional(),
  tables: oneOrMore(objectPattern).optional(),
  functions: oneOrMore(objectPattern).optional(),
  settings: oneOrMore(text).optional(),
  predicate: oneOrMore(z.enum(['none', 'tautology', 'open', 'bounded', 'keyed', 'present'])).optional(),
});

const mode = z.enum(['enforce', 'shadow']);

const rule = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { message: 'must be letters, digits, - _ and .' }),
  description: z.string().optional(),
  match: condition,
  unless: notEmpty(condition).optional(),
  action: z.enum(['allow', 'deny']),
  mode: mode.optional(),
  message: text.optional(),
  hint: text.optional(),
});

export const ruleFileSchema = z.strictObject({
  version: z.literal(1),
  mode: mode.optional(),
  rules: z.array(rule),
});

export type RuleFile = z.infer<typeof ruleFileSchema>;
export type RuleSource = RuleFile['rules'][number];
export type Condition = z.infer<typeof condition>;

/** The keys that may stand at a place of the file: for suggestions about misspelt ones. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  const last = path.at(-1);
  if (path.length === 0) return Object.keys(ruleFileSchema.shape);
  if (last === 'match' || last === 'unless') return Object.keys(condition.shape);
  if (last === 'identities') return Object.keys(identities.shape);
  return Object.keys(rule.shape);
}
