import type { ColumnDetector, ColumnPlan } from '../masking/column-plan.ts';
import type { PathMask } from '../masking/json-paths.ts';
import { fullMask, type Masker, REDACTED } from '../masking/masker.ts';
import { type ColumnName, EFFECT_CLASSES, type EffectName, type OutputColumn } from '../statements/facts.ts';
import { areColumns, type ColumnPattern } from './column-pattern.ts';
import type { DecidableFacts } from './condition.ts';
import { type CompiledDetector, type CompiledMask, mayBe } from './masks.ts';
import { isTable } from './object-pattern.ts';

/** What happens to the result of one statement: it holds for one subject under one set of rules. */
export interface MaskPlan {
  /** One for each output, `null` where values stay as they are; the list is `null` where the outputs are not known. */
  readonly columns: readonly (ColumnPlan | null)[] | null;
  /** What happens to a column of which nothing is known; `null` if nothing does. */
  readonly every: ColumnPlan | null;
  /** The masks that mask something of it, sorted. */
  readonly ids: readonly string[];
  /** The detectors that look at something of it, sorted. */
  readonly detectorIds: readonly string[];
  /** True if nothing is done: the server's description of the result is compared all the same. */
  readonly isEmpty: boolean;
  /** True if a mask, and not only detectors, is for the subject. */
  readonly hasMasks: boolean;
  /** What each output is, for look-ups in the catalogue; `null` where they are not known. */
  readonly outputs: readonly OutputColumn[] | null;
  /** True if the column, under one of its names, has to be masked wherever it is shown. */
  isMasked(names: readonly ColumnName[]): boolean;
  /** The masks of the columns that the statement writes: what they make of values must not be written there. */
  readonly writes: readonly { readonly id: string; readonly masker: Masker }[];
  /** True if a detector, of whatever columns, is for the subject; and whether one finds something in a text. */
  readonly detects: boolean;
  finds(text: string | null): boolean;
  /** True if values in the statement may be values of masked columns: then they are none for a record. */
  readonly touchesMasked: boolean;
  /** Which of them are not, all the same: literals by their order, parameters by their number less one. */
  readonly showsLiteral: (index: number) => boolean;
  readonly showsParameter: (index: number) => boolean;
  /** True if it reads relations that may have masked columns. */
  readonly readsMasked: boolean;
}

/** @param masks those that apply @returns `null` if none applies: then nothing has to be looked at */
export function planOf(
  facts: DecidableFacts,
  masks: readonly CompiledMask[],
  detectors: readonly CompiledDetector[],
): MaskPlan | null {
  if (masks.length === 0 && detectors.length === 0) return null;
  const ids = new Set<string>();
  const detectorIds = new Set<string>();
  const outputs = facts.outputs ?? null;
  const found = (sources: readonly ColumnName[]) => detecting(sources, detectors, detectorIds);
  const columns = outputs?.map((output) => columnPlan(output, facts, masks, found, ids)) ?? null;
  const every = detecting([], detectors, outputs === null ? detectorIds : new Set());
  return {
    columns,
    every,
    ids: [...ids].sort(),
    detectorIds: [...detectorIds].sort(),
    isEmpty: columns === null ? every === null : columns.every((column) => column === null),
    hasMasks: masks.length > 0,
    outputs,
    isMasked: (names) =>
      masks.some(({ columns }) => columns.some(({ pattern }) => names.some((name) => mayBe([pattern], name, [])))),
    writes: masks.filter((mask) => writes(facts, mask)).map(({ id, masker }) => ({ id, masker })),
    detects: detectors.length > 0,
    finds: (text) => {
      if (text === null || detectors.length === 0) return false;
      const bytes = Buffer.from(text, 'utf8');
      return detectors.some(({ detector }) => detector.finds(bytes, 0, bytes.length));
    },
    touchesMasked: touches(facts, masks),
    showsLiteral: (index) => meetsNone(facts.given?.literals[index], facts, masks),
    showsParameter: remembered((index) => meetsNone(facts.given?.parameters[index], facts, masks)),
    readsMasked: masks.some((mask) => mayRead(facts, mask)),
  };
}

/** Parameters are asked about at each execution: what they meet is found out once. */
function remembered(find: (index: number) => boolean): (index: number) => boolean {
  const found: boolean[] = [];
  return (index) => {
    found[index] ??= find(index);
    return found[index];
  };
}

/** Strictest first: of several masks of one column the first counts. */
const STRICTNESS: readonly Masker['kind'][] = [
  ...(['null', 'redact', 'constant'] as const),
  ...(['hash', 'fpe', 'year', 'month', 'bucket', 'partial', 'email'] as const),
];

function columnPlan(
  output: OutputColumn,
  facts: DecidableFacts,
  masks: readonly CompiledMask[],
  found: (sources: readonly ColumnName[]) => ColumnPlan | null,
  ids: Set<string>,
): ColumnPlan | null {
  const { from } = output;
  if (from === 'none') return found([]);
  const hitting = new Set<string>();
  const whole: CompiledMask[] = [];
  const paths: PathMask[] = [];
  for (const mask of masks) {
    const hits = mask.columns.filter(({ pattern }) =>
      output.columns.some((column) => mayBe([pattern], column, facts.effects)),
    );
    // What cannot be told may be any column of what the statement reads.
    const isHit = hits.length > 0 || (from === 'unknown' && mayRead(facts, mask));
    if (!isHit || (from !== 'plain' && mask.derived === 'allow' && hits.length > 0)) continue;
    ids.add(mask.id);
    hitting.add(mask.id);
    if (from !== 'plain' || hits.some(({ path }) => path === null)) whole.push(mask);
    else for (const { path } of hits) paths.push({ path: path!, masker: mask.masker });
  }
  const by = [...hitting].sort();
  if (whole.length > 0) {
    const masker = strictest(whole.map((mask) => mask.masker));
    const isDerived = from !== 'plain';
    return { by, mask: isDerived ? fullMask(masker) : masker, isDerived, paths: [], detectors: [] };
  }
  const looking = found(output.columns);
  if (paths.length === 0) return looking;
  const all = [...by, ...(looking?.by ?? [])].sort();
  return { by: all, mask: null, isDerived: false, paths, detectors: looking?.detectors ?? [] };
}

function strictest(maskers: readonly Masker[]): Masker {
  const [first, ...others] = [...maskers].sort((a, b) => STRICTNESS.indexOf(a.kind) - STRICTNESS.indexOf(b.kind));
  // Two that differ only in their options: neither may show what the other hides.
  const differs = others.some((other) => other.kind === first!.kind && JSON.stringify(other) !== JSON.stringify(first));
  return differs && first!.kind !== 'redact' ? { kind: 'redact', text: REDACTED } : first!;
}

/** @param sources none: every detector for all columns looks at it */
function detecting(
  sources: readonly ColumnName[],
  detectors: readonly CompiledDetector[],
  ids: Set<string>,
): ColumnPlan | null {
  const by: string[] = [];
  const looking: ColumnDetector[] = [];
  for (const { id, columns, detector, masker } of detectors) {
    const looks =
      columns.some(({ table, column }) => table.matchesAll && column.matchesAll) ||
      sources.some((source) => mayBe(columns, source, []));
    if (!looks) continue;
    ids.add(id);
    by.push(id);
    looking.push({ detector, masker });
  }
  return looking.length === 0 ? null : { by, mask: null, isDerived: false, paths: [], detectors: looking };
}

function mayRead({ effects }: DecidableFacts, mask: CompiledMask): boolean {
  return effects.some((effect) => mask.columns.some(({ pattern }) => isTable(pattern.table, effect, true)));
}

/** Whether values of the text, or of its parameters, may be values of masked columns: compared with them, or written. */
function touches(facts: DecidableFacts, masks: readonly CompiledMask[]): boolean {
  return masks.some(
    (mask) =>
      writes(facts, mask) ||
      facts.uses?.some((use) => mayBe(patternsOf(mask), use, facts.effects)) === true ||
      facts.outputs?.some((output) => comparesInOutput(output, facts, mask)) === true ||
      (facts.uses === undefined &&
        facts.effects.some((effect) => areColumns(patternsOf(mask), effect, undefined, true))),
  );
}

/** An expression of the select list may compare: `'x' IN (SELECT masked ...)`. */
function comparesInOutput({ from, columns }: OutputColumn, { effects }: DecidableFacts, mask: CompiledMask): boolean {
  if (from === 'plain' || from === 'none') return false;
  return columns.some((column) => mayBe(patternsOf(mask), column, effects));
}

/** True if a value is known to meet columns that are not masked only. */
function meetsNone(
  columns: readonly ColumnName[] | null | undefined,
  { effects }: DecidableFacts,
  masks: readonly CompiledMask[],
): boolean {
  if (columns === null || columns === undefined) return false;
  return !masks.some((mask) => columns.some((column) => mayBe(patternsOf(mask), column, effects)));
}

/** Whether the statement may write a column of the mask. */
function writes({ effects }: DecidableFacts, mask: CompiledMask): boolean {
  return effects.some((effect) => WRITES.has(effect.effect) && areColumns(patternsOf(mask), effect, [], true));
}

function patternsOf({ columns }: CompiledMask): ColumnPattern[] {
  return columns.map(({ pattern }) => pattern);
}

const WRITES: ReadonlySet<EffectName> = new Set(EFFECT_CLASSES.write);
