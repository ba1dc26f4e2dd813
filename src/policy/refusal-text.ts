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
  'set-role': 'SET',
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
  const name = nameOf(effect);
  if (effect.effect === 'read' && object?.kind === 'other' && name?.startsWith('show ')) return name.toUpperCase();
  if (effect.via === 'nextval' || effect.via === 'setval') return `${effect.via} of ${name ?? 'a sequence'}`;
  const verb = VERBS[effect.effect];
  if (name === null || verb === undefined) {
    const what = WITHOUT_OBJECT[effect.effect] ?? `The effect ${effect.effect} on an object that is not known`;
    return name === null ? what : `${what} (${name})`;
  }
  return `${verb} ${name}${changesRows(effect) ? (WIDE[effect.predicate ?? 'keyed'] ?? '') : ''}`;
}

/** A setting is known by its name alone; what a dialect files it under says nothing to the reader. */
function nameOf({ object }: Effect): string | null {
  if (object === null) return null;
  const { kind, schema, name } = object;
  return oneLine(schema === null || kind === 'setting' ? name : `${schema}.${name}`);
}

/** How a predicate that does not narrow anything is said after the name of the table. */
const WIDE: Readonly<Partial<Record<Predicate, string>>> = {
  none: ' without WHERE',
  tautology: ' with a WHERE that keeps every row',
};

function changesRows(effect: Effect): boolean {
  return effect.effect === 'update' || effect.effect === 'delete';
}

/** Names come from the statement: they must not break the sentence, the log or the record it goes into, or turn it around. */
function oneLine(text: string): string {
  const printable = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, ' ');
  return printable.length > 120 ? `${printable.slice(0, 117)}...` : printable;
}

function defaultHint(effect: Effect, { isAboutPredicate }: RuleText): string {
  if (effect.effect === 'opaque') return opaqueHint(effect.via ?? '');
  if (isAboutPredicate) {
    return 'Name the rows in the WHERE clause: compare a column of the table itself by = or IN with the values you mean.';
  }
  const { object } = effect;
  if (effect.effect === 'set-session' && object !== null && NAME_SETTINGS.has(object.name)) {
    return 'Write names with their schema instead, as in schema.table.';
  }
  return HINTS[effect.effect] ?? 'This statement cannot pass in this form.';
}

/** Settings that say where names without a schema are looked up; `database` is MySQL's USE. */
const NAME_SETTINGS = new Set(['search_path', 'database']);

/** What to do instead where a rule does not say. */
const HINTS: Readonly<Partial<Record<EffectName, string>>> = {
  read: 'Leave it out, or ask the owner of the data for access to it.',
  insert: 'Ask the owner of the data to make the change.',
  update: 'Ask the owner of the data to make the change.',
  delete: 'Ask the owner of the data to make the change.',
  merge: 'Ask the owner of the data to make the change.',
  truncate: 'DELETE the rows that have to go, with a WHERE clause that names them.',
  'copy-in': 'INSERT the rows, or ask the owner of the data to load them.',
  'copy-out': 'SELECT what you need of it, or ask the owner of the data for a copy.',
  create: 'Ask the owner of the database to make the change.',
  alter: 'Ask the owner of the database to make the change.',
  drop: 'Ask the owner of the database to make the change.',
  rename: 'Ask the owner of the database to make the change.',
  comment: 'Ask the owner of the database to make the change.',
  grant: 'Ask an administrator of the database for the privilege.',
  revoke: 'Ask an administrator of the database.',
  role: 'Ask an administrator of the database.',
  'set-session': 'Go on without it: the setting stays as it is.',
  'set-role': 'Go on as the role that the session has.',
  'set-global': 'Ask an administrator of the database.',
  'call-function': 'Do without this function: use those that are built in and only compute.',
  'call-procedure': 'Send the statements that the procedure runs.',
  file: 'Send and fetch data through this connection.',
  program: 'Run the program where you are.',
  network: 'Connect to the other server yourself.',
  'large-object': 'Use a column of the table for the value.',
  lock: 'Go on without the lock.',
  maintenance: 'Ask an administrator of the database.',
  admin: 'Ask an administrator of the database.',
  notify: 'Go on without notifications.',
  listen: 'Go on without notifications; ask for what has changed by a query.',
  resource: 'Ask for less at a time, with constants that say how much.',
};

function opaqueHint(via: string): string {
  if (via.startsWith('unparsed: syntax error')) return 'Correct the statement: it is not SQL of this server.';
  if (/^too |code within code/.test(via)) return 'Send less at a time, and nest it less.';
  if (/\b(function|operator|type|procedure)\b/.test(via)) {
    return 'Use functions that are built in, or write out in the statement what this one does.';
  }
  return 'Send the statements themselves, one at a time and without code in a string.';
}
