import type { Effect, EffectName, Predicate } from '../statements/facts.ts';

/** What a rule says for itself. */
interface RuleText {
  readonly message?: string | undefined;
  readonly hint?: string | undefined;
  /** True if another WHERE would make the rule not match. */
  readonly isAboutPredicate?: boolean | undefined;
}

/**
 * The sentence and the hint of a refusal: the rule's own, or plain words about the effect. `rule` is `default` where no
 * rule matched. Neither names a setting that would change the answer: they are read by whoever was refused.
 */
export function refusalOf(effect: Effect, rule: string, text: RuleText): { message: string; hint: string } {
  return { message: text.message ?? defaultMessage(effect, rule), hint: text.hint ?? defaultHint(effect, text) };
}

/** The same for a statement that waits for approval. */
export function heldBecause(effect: Effect, rule: string, text: RuleText): { message: string; hint: string } {
  return {
    message: text.message ?? `${subjectOf(effect)} needs approval${rule === 'default' ? '' : ` (rule ${rule})`}.`,
    hint: text.hint ?? 'It runs once it is approved: send the same statement again then.',
  };
}

const VERBS: Readonly<Partial<Record<EffectName, string>>> = {
  read: 'Reading',
  insert: 'INSERT into',
  update: 'UPDATE of',
  delete: 'DELETE on',
  merge: 'MERGE into',
  truncate: 'TRUNCATE of',
  'copy-in': 'COPY into',
  'copy-out': 'COPY from',
  create: 'Creating',
  alter: 'Altering',
  drop: 'Dropping',
  rename: 'Renaming',
  comment: 'Commenting on',
  grant: 'GRANT on',
  revoke: 'REVOKE on',
  role: 'Changing the role',
  'set-session': 'Setting',
  'set-role': 'Changing',
  'set-global': 'Setting for later sessions',
  'call-function': 'Calling the function',
  'call-procedure': 'Calling the procedure',
  lock: 'Locking',
  maintenance: 'Maintenance of',
  cursor: 'The cursor',
  notify: 'Notifying',
  listen: 'Listening on',
  prepare: 'Preparing',
  execute: 'Executing',
};

/** For effects whose object is not there or says nothing to the reader. */
const WITHOUT_OBJECT: Readonly<Partial<Record<EffectName, string>>> = {
  read: 'Reading',
  'copy-out': 'COPY of a query',
  'set-session': 'Changing session settings',
  'set-role': 'Changing the role of the session',
  'set-global': 'Changing settings for later sessions',
  file: 'Access to files of the server',
  program: 'Running a program on the server',
  network: 'A connection to another server',
  'large-object': 'Access to large objects',
  lock: 'Taking locks',
  maintenance: 'Maintenance of the database',
  admin: 'Acting on the server',
  transaction: 'Transaction control',
  explain: 'EXPLAIN',
  resource: 'Work out of all proportion',
};

function defaultMessage(effect: Effect, rule: string): string {
  const because = rule === 'default' ? 'is refused: no rule allows it' : `is refused by rule ${rule}`;
  return `${subjectOf(effect)} ${because}.`;
}

function subjectOf(effect: Effect): string {
  if (effect.effect === 'opaque') {
    return `A statement that cannot be read (${oneLine(effect.via ?? 'unknown')})`;
  }
  const { object } = effect;
  const name = object === null ? null : oneLine(`${object.schema === null ? '' : `${object.schema}.`}${object.name}`);
  const verb = VERBS[effect.effect];
  if (name === null || verb === undefined) {
    const what = WITHOUT_OBJECT[effect.effect] ?? `The effect ${effect.effect} on an object that is not known`;
    return name === null ? what : `${what} (${name})`;
  }
  return `${verb} ${name}${changesRows(effect) ? (WIDE[effect.predicate ?? 'keyed'] ?? '') : ''}`;
}

/** How a predicate that does not narrow anything is said after the name of the table. */
const WIDE: Readonly<Partial<Record<Predicate, string>>> = {
  none: ' without WHERE',
  tautology: ' with a WHERE that keeps every row',
};

function changesRows(effect: Effect): boolean {
  return effect.effect === 'update' || effect.effect === 'delete';
}

/** Names come from the statement: they must not break the sentence, the log or the record it goes into. */
function oneLine(text: string): string {
  const printable = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ');
  return printable.length > 120 ? `${printable.slice(0, 117)}...` : printable;
}

function defaultHint(effect: Effect, { isAboutPredicate }: RuleText): string {
  if (effect.effect === 'opaque') return 'Send the statements themselves, one at a time and without code in a string.';
  if (isAboutPredicate) {
    return 'Name the rows in the WHERE clause: compare a column of the table itself by = or IN with the values you mean.';
  }
  return 'This statement cannot pass in this form; ask the owner of the data to make the change.';
}
