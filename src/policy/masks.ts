import { type ColumnName, EFFECT_CLASSES, type Effect, type EffectName } from '../statements/facts.ts';
import { TELLS_NO_STORED_VALUES } from '../statements/postgres/functions.ts';
import { areColumns, type ColumnPattern, compileColumnPattern, mayBeColumn } from './column-pattern.ts';
import type { CompiledRule } from './compiled-rule.ts';
import { type CompiledCondition, compileWhen, compileWho, type DecidableFacts, type Subject } from './condition.ts';
import type { Moment } from './moment.ts';
import type { DetectorSource, Masker, MaskSource } from './rule-schema.ts';

/**
 * `masks:` and `detectors:`, ready for whoever replaces values. Nobody does yet, and a mask that does nothing would let
 * out what it is there to keep in. So until then each of them is also a rule that refuses: see {@link maskAsRule}.
 */
export interface CompiledMask {
  readonly id: string;
  readonly shadow: boolean;
  readonly columns: readonly MaskedColumn[];
  /** One key: the masker. */
  readonly with: Masker;
  readonly derived: 'redact' | 'deny' | 'allow';
  readonly predicates: 'equality' | 'deny' | 'allow';
  readonly copies: 'deny' | 'hold' | 'allow';
  /** Whether it is for this subject now; a moment that is not known ends every exception. */
  appliesTo(subject: Subject, moment: Moment | null): boolean;
}

export interface MaskedColumn {
  readonly pattern: ColumnPattern;
  /** The part of a JSON value, `$.card.number`; `null` for the whole value. */
  readonly path: string | null;
}

export interface CompiledDetector {
  readonly id: string;
  readonly shadow: boolean;
  readonly find: DetectorSource['find'];
  readonly columns: readonly ColumnPattern[];
  readonly with: Masker;
  appliesTo(subject: Subject, moment: Moment | null): boolean;
}

export function compileMask(source: MaskSource, shadow: boolean): CompiledMask {
  return {
    id: source.id,
    shadow,
    columns: source.columns.map((text) => {
      const [column = '', path = null] = text.split(':');
      return { pattern: compileColumnPattern(column), path };
    }),
    with: source.with,
    derived: source.derived ?? 'redact',
    predicates: source.predicates ?? 'equality',
    copies: source.copies ?? 'deny',
    appliesTo: applies(source),
  };
}

export function compileDetector(source: DetectorSource, shadow: boolean): CompiledDetector {
  return {
    id: source.id,
    shadow,
    find: source.find,
    columns: source.columns.map((text) => compileColumnPattern(text === '*' ? '*.*' : text)),
    with: source.with,
    appliesTo: applies(source),
  };
}

function applies(source: MaskSource | DetectorSource): CompiledMask['appliesTo'] {
  const { who, unless } = whose(source);
  return (subject, moment) =>
    who.every((test) => test.holds(subject)) &&
    !(unless?.who.every((test) => test.holds(subject)) && unless.when.every((test) => test.holds(moment)));
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
 * The substitute for a mask or detector: it refuses every statement that touches one of its columns, or of which it cannot
 * be told whether it does. Among the latter are calls of functions that are not known to be pure, statements on relations
 * that the catalogue does not have (they may be views over the column) or whose columns are not known, and the statistics the
 * server keeps of values.
 */
export function maskAsRule(
  section: 'masks' | 'detectors',
  source: MaskSource | DetectorSource,
  columns: readonly ColumnPattern[],
  shadow: boolean,
): CompiledRule {
  const { who, unless } = whose(source);
  return {
    id: source.id,
    section,
    action: 'deny',
    shadow,
    match: {
      who,
      when: [],
      what: [
        {
          key: 'columns',
          words: `it does not touch ${source.columns.join(', ')}`,
          holds: (effect, facts) => mayShow(columns, effect, facts),
        },
      ],
    },
    unless,
    expression: null,
    approval: null,
    limits: [],
    message: undefined,
    hint: 'Leave that column out: name the columns you need instead of *, and use it in no condition or function.',
  };
}

const SHOWING: ReadonlySet<EffectName> = new Set(
  (['read', 'copy-out', 'insert', 'update', 'delete', 'merge'] satisfies EffectName[] as EffectName[]).concat(
    EFFECT_CLASSES.opaque,
  ),
);

/** Effects that can hand out anything. */
const UNTOLD: ReadonlySet<EffectName> = new Set(['opaque', 'call-procedure']);

const CATALOGUES = new Set(['pg_catalog', 'information_schema', 'performance_schema']);

/** Values of columns in catalogues: histograms, most common values, texts of running statements. */
const CATALOGUES_WITH_VALUES = new Set([
  'pg_stats',
  'pg_stats_ext',
  'pg_stats_ext_exprs',
  'pg_statistic',
  'pg_statistic_ext_data',
  'pg_largeobject',
  'column_statistics',
  'column_stats',
]);

function mayShow(patterns: readonly ColumnPattern[], effect: Effect, facts: DecidableFacts): boolean {
  if (UNTOLD.has(effect.effect)) return true;
  if (effect.effect === 'call-function') {
    const { object } = effect;
    if (object?.schema === 'pg_catalog' && TELLS_NO_STORED_VALUES.has(object.name)) return false;
    return (
      facts.uses === undefined || facts.outputs === undefined || facts.outputs.some(({ from }) => from === 'unknown')
    );
  }
  if (!SHOWING.has(effect.effect)) return false;
  const { object } = effect;
  if (object === null) return true;
  // COPY of a query: what the query reads are effects of their own.
  if (object.kind !== 'relation') return object.kind !== 'setting' && !['read', 'copy-out'].includes(effect.effect);
  if (CATALOGUES_WITH_VALUES.has(object.name)) return true;
  if (object.schema !== null && CATALOGUES.has(object.schema)) return false;
  if (object.catalogued !== true || facts.uses === undefined) return true;
  if (facts.outputs === undefined) return areColumns(patterns, effect, facts.uses, true);
  // What is shown, and what has an influence on what is shown or goes elsewhere; only writing a column from values is neither.
  return (
    facts.outputs.some(
      ({ from, columns }) => from === 'unknown' || columns.some((column) => mayBe(patterns, column)),
    ) || facts.uses.some((use) => mayBe(patterns, use))
  );
}

function mayBe(patterns: readonly ColumnPattern[], { schema, relation, column }: ColumnName): boolean {
  return patterns.some((pattern) => mayBeColumn(pattern, schema, relation, column));
}
