import type { Identity } from '../identity/identity.ts';
import type { ColumnUse, Effect, GivenValues, OutputColumn, Predicate } from '../statements/facts.ts';
import { areColumns, compileColumnPattern } from './column-pattern.ts';
import { anyMatches, compileGlob } from './glob.ts';
import type { Moment } from './moment.ts';
import { compileObjectPattern, expandEffects, isFunction, isSetting, isTable } from './object-pattern.ts';
import type { Condition, Exception } from './rule-schema.ts';
import { compileTimeWindow, endOfDay } from './time-window.ts';

/** Who sends the statement, to which connection, and what holds when no rule matches. */
export interface Subject {
  readonly identity: Identity;
  readonly connection: string;
  /** Of the connection; left out where it is not known. */
  readonly protocol?: 'postgres' | 'mysql';
  readonly default: 'allow' | 'hold' | 'deny';
}

/** What a verdict is about: the part of StatementFacts that rules read. */
export interface DecidableFacts {
  readonly effects: readonly Effect[];
  readonly kind?: string;
  readonly fingerprint?: string;
  readonly uses?: readonly ColumnUse[];
  readonly outputs?: readonly OutputColumn[];
  readonly fetches?: string;
  readonly given?: GivenValues;
}

/** One key of a condition. `words` say why it did not hold, after "because". */
interface Test<Input extends unknown[]> {
  readonly key: string;
  readonly words: string;
  holds(...input: Input): boolean;
}

/** `match` or `unless`, one test for each key: what depends on the subject, on the moment, and on the effect. */
export interface CompiledCondition {
  readonly who: readonly Test<[Subject]>[];
  readonly when: readonly Test<[Moment | null]>[];
  readonly what: readonly Test<[Effect, DecidableFacts]>[];
}

/**
 * @param doubt what a key answers about what is not known; see object-pattern.ts. A moment that is not known is such a thing.
 */
export function compileCondition(source: Condition | Exception, doubt: boolean): CompiledCondition {
  return { who: compileWho(source), when: compileWhen(source, doubt), what: compileWhat(source, doubt) };
}

export function compileWho({
  connections,
  identities,
}: Pick<Condition, 'connections' | 'identities'>): CompiledCondition['who'] {
  const tests: Test<[Subject]>[] = [];
  if (connections !== undefined) {
    const globs = connections.map(compileGlob);
    tests.push({
      key: 'connections',
      words: `the connection is not ${either(connections)}`,
      holds: ({ connection }) => anyMatches(globs, connection),
    });
  }
  const { subjects, groups, kind } = identities ?? {};
  if (subjects !== undefined) {
    const globs = subjects.map(compileGlob);
    tests.push({
      key: 'identities.subjects',
      words: `the identity is not ${either(subjects)}`,
      holds: ({ identity }) => anyMatches(globs, identity.subject),
    });
  }
  if (groups !== undefined) {
    const globs = groups.map(compileGlob);
    tests.push({
      key: 'identities.groups',
      words: `the identity is not in the group ${either(groups)}`,
      holds: ({ identity }) => identity.groups.some((group) => anyMatches(globs, group)),
    });
  }
  if (kind !== undefined) {
    tests.push({
      key: 'identities.kind',
      words: `the identity is not of the kind ${either(kind)}`,
      holds: ({ identity }) => kind.includes(identity.kind),
    });
  }
  return tests;
}

export function compileWhen(
  source: Pick<Exception, 'during' | 'outside' | 'missing' | 'until'>,
  doubt: boolean,
): CompiledCondition['when'] {
  const tests: Test<[Moment | null]>[] = [];
  const add = (key: string, words: string, holds: (moment: Moment) => boolean) =>
    tests.push({ key, words, holds: (moment) => (moment === null ? doubt : holds(moment)) });
  const { during, outside, missing, until } = source;
  if (during !== undefined) {
    const isInside = compileTimeWindow(during);
    add('during', `it is not ${windowWords(during)}`, ({ now }) => isInside(now));
  }
  if (outside !== undefined) {
    const isInside = compileTimeWindow(outside);
    add('outside', `it is ${windowWords(outside)}`, ({ now }) => !isInside(now));
  }
  if (missing !== undefined) {
    add('missing', `the client claims ${missing.join(' and ')}`, ({ claimed }) =>
      missing.some((name) => (claimed.get(name) ?? '').trim() === ''),
    );
  }
  if (until !== undefined) {
    const end = endOfDay(until);
    add('until', `${until} is past`, ({ now }) => now < end);
  }
  return tests;
}

function windowWords({ days, hours, zone }: NonNullable<Condition['during']>): string {
  return [
    ...(days === undefined ? [] : [either(days)]),
    ...(hours === undefined ? [] : [either(hours)]),
    `in ${zone}`,
  ].join(' ');
}

const PRESENT: readonly Predicate[] = ['tautology', 'open', 'bounded', 'keyed'];

function compileWhat(source: Condition, doubt: boolean): CompiledCondition['what'] {
  const tests: Test<[Effect, DecidableFacts]>[] = [];
  const { effects, predicate, tables, columns, functions, settings } = source;
  if (effects !== undefined) {
    const names = expandEffects(effects);
    tests.push({
      key: 'effects',
      words: `the effect is not ${either(effects)}`,
      holds: (effect) => names.has(effect.effect),
    });
  }
  if (predicate !== undefined) {
    const predicates = new Set(predicate.flatMap((name) => (name === 'present' ? PRESENT : [name])));
    tests.push({
      key: 'predicate',
      words: `the predicate is not ${either(predicate)}`,
      holds: (effect) => effect.predicate !== null && predicates.has(effect.predicate),
    });
  }
  if (tables !== undefined) {
    const patterns = tables.map(compileObjectPattern);
    tests.push({
      key: 'tables',
      words: `the object is not ${either(tables)}`,
      holds: (effect) => patterns.some((pattern) => isTable(pattern, effect, doubt)),
    });
  }
  if (columns !== undefined) {
    const patterns = columns.map(compileColumnPattern);
    tests.push({
      key: 'columns',
      words: doubt
        ? `it does not touch ${either(columns)}`
        : `it touches, or may touch, columns other than ${either(columns)}`,
      holds: (effect, { uses }) => areColumns(patterns, effect, uses, doubt),
    });
  }
  if (functions !== undefined) {
    const patterns = functions.map(compileObjectPattern);
    tests.push({
      key: 'functions',
      words: `the function is not ${either(functions)}`,
      holds: (effect) => patterns.some((pattern) => isFunction(pattern, effect, doubt)),
    });
  }
  if (settings !== undefined) {
    const globs = settings.map((pattern) => compileGlob(pattern.toLowerCase()));
    tests.push({
      key: 'settings',
      words: `the setting is not ${either(settings)}`,
      holds: (effect) => globs.some((glob) => isSetting(glob, effect, doubt)),
    });
  }
  return tests;
}

/** `a, b or c`; of a long list the first few. */
function either(names: readonly string[]): string {
  const shown = names.length > 5 ? [...names.slice(0, 4), `${names.length - 4} more`] : names;
  return shown.join(', ').replace(/, ([^,]*)$/, ' or $1');
}
