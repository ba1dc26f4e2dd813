import type { ColumnName, Effect, EffectName, Predicate, StatementFacts } from '../statements/facts.ts';

/** What a statement does to an object, after which the object's name follows. */
const DOES: Readonly<Record<EffectName, string>> = {
  read: 'reads',
  insert: 'adds rows to',
  update: 'changes',
  delete: 'removes rows of',
  merge: 'merges rows into',
  truncate: 'removes all rows of',
  'copy-in': 'adds rows in bulk to',
  'copy-out': 'reads in bulk',
  create: 'creates',
  alter: 'changes the definition of',
  drop: 'drops',
  rename: 'renames',
  comment: 'comments on',
  grant: 'grants privileges on',
  revoke: 'revokes privileges on',
  role: 'creates, changes or drops the role',
  'set-session': 'changes the setting',
  'set-role': 'acts as another role:',
  'set-global': 'changes for later sessions the setting',
  'call-function': 'calls a function that is not known to be pure:',
  'call-procedure': 'calls the procedure',
  file: 'reads or writes files of the server',
  program: 'runs a program on the server',
  network: 'makes the server connect to something else',
  'large-object': 'reads or writes large objects',
  lock: 'takes locks',
  maintenance: 'does maintenance',
  admin: 'acts on the server itself',
  transaction: 'controls the transaction',
  cursor: 'uses a cursor',
  notify: 'notifies other sessions',
  listen: 'listens to other sessions',
  prepare: 'prepares a statement',
  execute: 'runs a prepared statement',
  explain: 'explains a statement',
  resource: 'can take time or memory out of all proportion',
  opaque: 'does what cannot be known',
};

const NARROWS: Readonly<Record<Predicate, string>> = {
  none: 'all rows, there is no condition',
  tautology: 'all or nearly all rows, whatever the WHERE says',
  open: 'rows that a condition selects, any number of them',
  bounded: 'rows where a column equals given values',
  keyed: 'at most one row for each given key',
};

/**
 * What a statement does besides showing columns, one line for each thing, for people who know databases and not Sluice. The effect's name as rules
 * write it comes first.
 */
export function factsInWords(facts: StatementFacts): string[] {
  return [
    ...facts.effects.map(effectInWords),
    ...(facts.refuses === null ? [] : [`refused whatever the rules say: ${facts.refuses}`]),
    ...usesInWords(facts),
  ];
}

/** `delete: removes rows of public.orders (keyed: at most one row for each given key)` */
export function effectInWords({ effect, object, predicate, via, columns, also, value }: Effect): string {
  // What is opaque says in `via` what it is about.
  const name =
    object === null || effect === 'opaque' ? '' : ` ${object.schema === null ? '' : `${object.schema}.`}${object.name}`;
  const details = [
    ...(predicate === null ? [] : [`${predicate}: ${NARROWS[predicate]}`]),
    ...(columns === undefined || columns.length === 0 ? [] : [`columns ${columns.join(', ')}`]),
    ...(value === undefined ? [] : [`to ${value}`]),
    ...(via === null ? [] : [via]),
    ...(also === undefined || also.length === 0
      ? []
      : [`also rows of ${also.map((one) => `${one.schema === null ? '' : `${one.schema}.`}${one.name}`).join(', ')}`]),
  ];
  return `${effect}: ${DOES[effect]}${name}${details.length === 0 ? '' : ` (${details.join('; ')})`}`;
}

function usesInWords({ uses }: StatementFacts): string[] {
  if (uses === undefined) return ['conditions: which columns they use cannot be told'];
  const lines: string[] = [];
  for (const [use, words] of [
    ['equality', 'compared with given values'],
    ['join', 'joined with another column'],
    ['condition', 'decides which rows, how many or in which order'],
    ['copy', 'goes elsewhere than to the client'],
  ] as const) {
    const columns = new Set(uses.filter((one) => one.use === use).map(columnInWords));
    if (columns.size > 0) lines.push(`${words}: ${[...columns].join(', ')}`);
  }
  return lines;
}

/** `public.orders.id` */
export function columnInWords({ schema, relation, column }: ColumnName): string {
  return `${schema === null ? '' : `${schema}.`}${relation}.${column === '*' ? '(some column)' : column}`;
}
