import { compilePattern, Detector } from '../masking/detectors.ts';
import { type JsonPath, parseJsonPath } from '../masking/json-paths.ts';
import { type Masker, REDACTED } from '../masking/masker.ts';
import {
  type ColumnName,
  type ColumnUse,
  EFFECT_CLASSES,
  type Effect,
  type EffectName,
  type ObjectName,
} from '../statements/facts.ts';
import { TELLS_NO_STORED_VALUES } from '../statements/postgres/functions.ts';
import { DEFAULT_APPROVAL } from './approval.ts';
import { areColumns, type ColumnPattern, compileMaskedColumn, isNamed, mayBeColumn } from './column-pattern.ts';
import type { CompiledRule } from './compiled-rule.ts';
import { type CompiledCondition, compileWhen, compileWho, type DecidableFacts, type Subject } from './condition.ts';
import type { Moment } from './moment.ts';
import { matchesName } from './object-pattern.ts';
import type { DetectorSource, MaskerSource, MaskSource, SecretReference } from './rule-schema.ts';

/**
 * `masks:` and `detectors:`, compiled. Of both mask-plan.ts makes what happens to each column of a result. What cannot be
 * done on a result (a masked column that decides which rows come, or that is copied elsewhere) a mask refuses: so each is
 * a rule as well, see {@link maskAsRules}.
 */
export interface CompiledMask {
  readonly id: string;
  readonly shadow: boolean;
  readonly columns: readonly MaskedColumn[];
  readonly masker: Masker;
  readonly derived: 'redact' | 'deny' | 'allow';
  readonly predicates: 'equality' | 'deny' | 'allow';
  readonly copies: 'deny' | 'hold' | 'allow';
  /** True if whether it is for this subject depends on the moment. */
  isVolatileFor(subject: Subject): boolean;
  /** Whether it is for this subject now; a moment that is not known ends every exception. */
  appliesTo(subject: Subject, moment: Moment | null): boolean;
}

export interface MaskedColumn {
  readonly pattern: ColumnPattern;
  /** The part of a JSON value; `null` for the whole value. */
  readonly path: JsonPath | null;
}

export interface CompiledDetector {
  readonly id: string;
  readonly shadow: boolean;
  readonly detector: Detector;
  readonly columns: readonly ColumnPattern[];
  readonly masker: Masker;
  isVolatileFor(subject: Subject): boolean;
  appliesTo(subject: Subject, moment: Moment | null): boolean;
}

/** Secrets of maskers by {@link secretName}. Where one is missing, its masker makes NULL of every value. */
export type MaskKeys = ReadonlyMap<string, Buffer>;

function secretName(reference: SecretReference): string {
  return JSON.stringify(reference);
}

/**
 * The keys of the maskers of rule files.
 *
 * @param secret what a reference stands for; rejects if it cannot be had
 */
export async function maskKeys(
  {
    masks,
    detectors,
  }: {
    readonly masks: readonly { readonly mask: MaskSource }[];
    readonly detectors: readonly { readonly detector: DetectorSource }[];
  },
  secret: (reference: SecretReference) => Promise<string>,
): Promise<MaskKeys> {
  const keys = new Map<string, Buffer>();
  for (const { with: masker } of [...masks.map(({ mask }) => mask), ...detectors.map(({ detector }) => detector)]) {
    for (const reference of [masker.hash?.key, masker.fpe?.key]) {
      if (reference !== undefined) keys.set(secretName(reference), Buffer.from(await secret(reference), 'utf8'));
    }
  }
  return keys;
}

export function compileMask(source: MaskSource, shadow: boolean, keys: MaskKeys): CompiledMask {
  return {
    id: source.id,
    shadow,
    columns: source.columns.map((text) => {
      const [column = '', path] = text.split(':');
      return { pattern: compileMaskedColumn(column), path: path === undefined ? null : parseJsonPath(path) };
    }),
    masker: compileMasker(source.with, keys),
    derived: source.derived ?? 'redact',
    predicates: source.predicates ?? 'equality',
    copies: source.copies ?? 'deny',
    ...applies(source),
  };
}

export function compileDetector(source: DetectorSource, shadow: boolean, keys: MaskKeys): CompiledDetector {
  return {
    id: source.id,
    shadow,
    detector: new Detector(source.find ?? [], (source.patterns ?? []).map(compilePattern)),
    columns: source.columns.map((text) => compileMaskedColumn(text === '*' ? '*.*' : text)),
    masker: compileMasker(source.with, keys),
    ...applies(source),
  };
}

function compileMasker(source: MaskerSource, keys: MaskKeys): Masker {
  const { redact, partial, hash, fpe, bucket, constant } = source;
  if (redact !== undefined) return { kind: 'redact', text: redact === true ? REDACTED : redact };
  if (partial !== undefined) return { kind: 'partial', first: partial.first ?? 0, last: partial.last ?? 0 };
  if (hash !== undefined) return { kind: 'hash', key: keys.get(secretName(hash.key)) ?? null };
  if (fpe !== undefined) return { kind: 'fpe', key: keys.get(secretName(fpe.key)) ?? null };
  if (bucket !== undefined) return { kind: 'bucket', step: String(bucket) };
  if (constant !== undefined) return { kind: 'constant', text: String(constant) };
  if (source.email !== undefined) return { kind: 'email' };
  if (source.year !== undefined) return { kind: 'year' };
  return source.month === undefined ? { kind: 'null' } : { kind: 'month' };
}

function applies(source: MaskSource | DetectorSource): Pick<CompiledMask, 'appliesTo' | 'isVolatileFor'> {
  const { who, unless } = whose(source);
  return {
    isVolatileFor: (subject) =>
      unless !== null && unless.when.length > 0 && [...who, ...unless.who].every((test) => test.holds(subject)),
    appliesTo: (subject, moment) =>
      who.every((test) => test.holds(subject)) &&
      !(unless?.who.every((test) => test.holds(subject)) && unless.when.every((test) => test.holds(moment))),
  };
}

function whose({ match, unless }: MaskSource | DetectorSource): {
  who: CompiledCondition['who'];
  unless: CompiledCondition | null;
} {
  return {
    who: compileWho(match ?? {}),
    unless: unless === undefined ? null : { who: compileWho(unless), when: compileWhen(unless, false), what: [] },
  };
}

/**
 * What a mask refuses: statements in which its columns do more than show, of which it cannot be told whether they do, and
 * the statistics the server keeps of values. Among those of which it cannot be told are calls of functions that are not
 * known to be pure, statements on relations that the catalogue does not have (they may be views over the column) or whose
 * columns are not known.
 */
export function maskAsRules(source: MaskSource, shadow: boolean): CompiledRule[] {
  const { id, columns, copies, ...mask } = compileMask(source, shadow, new Map());
  const patterns = columns.map(({ pattern }) => pattern);
  const rule = (
    action: 'deny' | 'hold',
    holds: (effect: Effect, facts: DecidableFacts) => boolean,
    hint: string,
  ): CompiledRule => ({
    id,
    section: 'masks',
    action,
    shadow,
    match: {
      ...{ who: whose(source).who, when: [] },
      what: [{ key: 'columns', words: `it does nothing with ${source.columns.join(', ')} but show them`, holds }],
    },
    unless: whose(source).unless,
    expression: null,
    approval: action === 'hold' ? { ...DEFAULT_APPROVAL, rule: id } : null,
    limits: [],
    recordResults: null,
    message: undefined,
    hint,
  });
  const refused = new Set<ColumnUse['use']>();
  if (mask.predicates !== 'allow') refused.add('condition');
  if (mask.predicates === 'deny') refused.add('equality').add('join');
  if (copies === 'deny') refused.add('copy');
  const isRefusedUse = ofStatement(
    (facts) =>
      uses(patterns, facts, refused) ||
      (mask.predicates === 'equality' && joins(columns, facts)) ||
      (mask.derived === 'deny' && derives(patterns, facts)),
  );
  const refusing = rule(
    'deny',
    (effect, facts) =>
      mayEscape(patterns, effect, facts) || (USING.has(effect.effect) && !isOfCatalogue(effect) && isRefusedUse(facts)),
    `${columnsInWords(source.columns)} in the select list only, where values are masked: in no condition, order, group or copy.`,
  );
  if (copies !== 'hold') return [refusing];
  const copied = new Set<ColumnUse['use']>(['copy']);
  const isCopied = ofStatement((facts) => uses(patterns, facts, copied));
  const holding = rule(
    'hold',
    (effect, facts) => USING.has(effect.effect) && isCopied(facts),
    'It runs once it is approved: send the same statement again then.',
  );
  return [refusing, holding];
}

function columnsInWords(columns: readonly string[]): string {
  const [first, ...others] = columns;
  if (others.length === 0) return `Use the column ${first}`;
  return `Use the columns ${columns.slice(0, 5).join(', ')}${columns.length > 5 ? ' and others' : ''}`;
}

/** A question about a statement that is asked for each of its effects, answered once. */
function ofStatement(test: (facts: DecidableFacts) => boolean): (facts: DecidableFacts) => boolean {
  const known = new WeakMap<DecidableFacts, boolean>();
  return (facts) => {
    let answer = known.get(facts);
    if (answer === undefined) {
      answer = test(facts);
      known.set(facts, answer);
    }
    return answer;
  };
}

const SHOWING: ReadonlySet<EffectName> = new Set(
  (['read', 'copy-out', 'insert', 'update', 'delete', 'merge'] satisfies EffectName[] as EffectName[]).concat(
    EFFECT_CLASSES.opaque,
  ),
);

/** Effects that masked columns can have a part in besides being shown: changes of the schema show them by other names. */
const CHANGING: ReadonlySet<EffectName> = new Set(['create', 'alter', 'rename']);
const USING: ReadonlySet<EffectName> = new Set([...SHOWING, ...CHANGING, 'execute', 'set-session']);

/** Effects that can hand out anything. */
const UNTOLD: ReadonlySet<EffectName> = new Set(['opaque', 'call-procedure']);

const CATALOGUES = new Set(['pg_catalog', 'information_schema', 'performance_schema']);

/** Columns of catalogues with values of columns: histograms, most common values, texts of statements; `null`: all of them. */
const CATALOGUES_WITH_VALUES: ReadonlyMap<string, string | null> = new Map([
  ['pg_stats', null],
  ['pg_stats_ext', null],
  ['pg_stats_ext_exprs', null],
  ['pg_statistic', null],
  ['pg_statistic_ext_data', null],
  ['pg_largeobject', null],
  ['pg_stat_activity', 'query'],
  ['pg_stat_statements', 'query'],
  ['column_statistics', null],
  ['column_stats', null],
]);

function showsValues({ object, columns }: Effect): boolean {
  const column = CATALOGUES_WITH_VALUES.get(object!.name);
  if (column === undefined) return false;
  return column === null || columns === undefined || columns.includes(column);
}

/** True if it is about a relation of the server's own. A masked column in the same statement has an effect of its own. */
function isOfCatalogue({ object }: Effect): boolean {
  return object !== null && object.schema !== null && CATALOGUES.has(object.schema);
}

/** True if values may leave in a way that nothing is known of. */
function mayEscape(patterns: readonly ColumnPattern[], effect: Effect, facts: DecidableFacts): boolean {
  if (UNTOLD.has(effect.effect)) return true;
  if (effect.effect === 'call-function') {
    const { object } = effect;
    if (object?.schema === 'pg_catalog' && TELLS_NO_STORED_VALUES.has(object.name)) return false;
    return (
      facts.uses === undefined || facts.outputs === undefined || facts.outputs.some(({ from }) => from === 'unknown')
    );
  }
  if (CHANGING.has(effect.effect)) return facts.uses === undefined;
  // The rows of a cursor that the session does not know.
  if (effect.effect === 'cursor') return facts.fetches !== undefined && facts.outputs === undefined;
  if (!SHOWING.has(effect.effect)) return false;
  const { object } = effect;
  if (object === null) return true;
  // COPY of a query: what the query reads are effects of their own.
  if (object.kind !== 'relation') return object.kind !== 'setting' && !['read', 'copy-out'].includes(effect.effect);
  if (showsValues(effect)) return true;
  if (isOfCatalogue(effect)) return false;
  if (object.catalogued !== true || facts.uses === undefined) return true;
  return facts.outputs === undefined && areColumns(patterns, effect, facts.uses, true);
}

function uses(
  patterns: readonly ColumnPattern[],
  facts: DecidableFacts,
  kinds: ReadonlySet<ColumnUse['use']>,
): boolean {
  return facts.uses?.some((use) => kinds.has(use.use) && mayBe(patterns, use, facts.effects)) === true;
}

/** True if one of the columns is joined with a column that is not one of them: with a list of guesses, say. */
function joins(masked: readonly MaskedColumn[], { uses: all = [], effects }: DecidableFacts): boolean {
  const patterns = masked.map(({ pattern }) => pattern);
  return all.some(
    (use) =>
      use.use === 'join' &&
      mayBe(patterns, use, effects) &&
      use.with?.some((other) => masked.some((one) => is(one, other))) !== true,
  );
}

function is(
  { pattern: { table, column: glob }, path }: MaskedColumn,
  { schema, relation, column }: ColumnName,
): boolean {
  return path === null && matchesName(table, relation, schema, false) && glob.matches(column);
}

function derives(patterns: readonly ColumnPattern[], { outputs, effects }: DecidableFacts): boolean {
  return (
    outputs?.some(
      ({ from, columns }) =>
        from === 'unknown' || (from === 'derived' && columns.some((column) => mayBe(patterns, column, effects))),
    ) === true
  );
}

/** Whether a column of a result, or one that is used, may be one of these; the rows of a relation can be those of its children. */
export function mayBe(
  patterns: readonly ColumnPattern[],
  { schema, relation, column }: ColumnName,
  effects: readonly Effect[],
): boolean {
  for (const pattern of patterns) {
    // Most columns have a name of which no pattern is.
    if (!isNamed(pattern, column)) continue;
    if (mayBeColumn(pattern, schema, relation, column)) return true;
    const others = othersOf(effects).get(`${schema}\0${relation}`);
    if (others?.some((other) => mayBeColumn(pattern, other.schema, other.name, column)) === true) return true;
  }
  return false;
}

const OTHERS = new WeakMap<readonly Effect[], ReadonlyMap<string, readonly ObjectName[]>>();

/** The relations whose rows are touched under the name of another, by that. */
function othersOf(effects: readonly Effect[]): ReadonlyMap<string, readonly ObjectName[]> {
  const known = OTHERS.get(effects);
  if (known !== undefined) return known;
  const found = new Map<string, readonly ObjectName[]>();
  for (const { object, also } of effects) {
    if (object === null || also === undefined) continue;
    const key = `${object.schema}\0${object.name}`;
    const before = found.get(key);
    found.set(key, before === undefined || before === also ? also : [...before, ...also]);
  }
  OTHERS.set(effects, found);
  return found;
}
