import { decodeRowDescription, type FieldDescription } from '../../../protocols/postgres/backend.ts';
import type { Cell } from '../../masking/cells.ts';
import type { ColumnPlan } from '../../masking/column-plan.ts';
import { type ColumnForm, compilePostgresCell } from '../../masking/postgres-cells.ts';
import type { MaskPlan } from '../../policy/mask-plan.ts';
import type { CatalogueLookup } from '../../statements/catalogue.ts';
import type { ColumnName, CopyFormat, OutputColumn } from '../../statements/facts.ts';
import { type DescribedColumn, plannedColumns } from '../planned-columns.ts';
import { copyTypeOf } from './copy-types.ts';
import { RowMasker } from './masked-rows.ts';

/** What the session's settings change in the text of values. */
export interface ResultSettings {
  readonly isoDates: boolean;
  readonly isUtf8: boolean;
}

export function resultSettings(settings: ReadonlyMap<string, string>): ResultSettings {
  const encoding = settings.get('client_encoding');
  return {
    isoDates: settings.get('DateStyle')?.startsWith('ISO') !== false,
    isUtf8: encoding === undefined || encoding === 'UTF8' || encoding === 'SQL_ASCII',
  };
}

/** What rewrites the rows of a result, or copied rows; `null`: all of it stays as it is. Or why nothing of it may be sent. */
export type CompiledResult =
  | { readonly rows: RowMasker | null; readonly mismatch: null }
  | { readonly rows: null; readonly mismatch: string };

function masking(cells: readonly (Cell | null)[]): CompiledResult {
  return { rows: cells.every((cell) => cell === null) ? null : new RowMasker(cells), mismatch: null };
}

interface Compiled {
  readonly description: Buffer;
  readonly catalogue: CatalogueLookup | null;
  readonly isoDates: boolean;
  readonly isUtf8: boolean;
  readonly result: CompiledResult;
}

/** As many descriptions of one plan are kept: a statement has one for each set of formats that clients ask for. */
const MOST_KEPT = 8;

const compiledByPlan = new WeakMap<MaskPlan, Compiled[]>();

/**
 * How a result that the server has described is masked. The description is compared with the plan, see {@link plannedColumns}.
 *
 * @param description the body of its RowDescription, with the formats the rows come in
 */
export function compileResult(
  plan: MaskPlan,
  description: Buffer,
  catalogue: CatalogueLookup | null,
  { isoDates, isUtf8 }: ResultSettings,
): CompiledResult {
  let kept = compiledByPlan.get(plan);
  if (kept === undefined) {
    kept = [];
    compiledByPlan.set(plan, kept);
  }
  for (const one of kept) {
    if (
      one.catalogue === catalogue &&
      one.isoDates === isoDates &&
      one.isUtf8 === isUtf8 &&
      (one.description === description || one.description.equals(description))
    ) {
      return one.result;
    }
  }
  const result = compile(plan, decodeRowDescription(description), catalogue, { isoDates, isUtf8 });
  if (kept.length === MOST_KEPT) kept.shift();
  kept.push({ description: Buffer.from(description), catalogue, isoDates, isUtf8, result });
  return result;
}

function compile(
  plan: MaskPlan,
  fields: readonly FieldDescription[],
  catalogue: CatalogueLookup | null,
  settings: ResultSettings,
): CompiledResult {
  const described = fields.map(({ tableOid, columnNumber, name }): DescribedColumn => {
    // System columns have negative numbers.
    const isStored = tableOid >= FIRST_OF_USERS && columnNumber >= 0 && plan.hasMasks;
    return { name, shows: isStored ? columnsOf(catalogue, tableOid, columnNumber) : null };
  });
  const { columns, mismatch } = plannedColumns(plan, described);
  if (columns === null) return { rows: null, mismatch };
  const cells = fields.map((field, index): Cell | null => {
    const planned = columns[index]!;
    if (planned === null) return null;
    return compilePostgresCell(planned, {
      type: field.typeOid,
      modifier: field.typeModifier,
      typeName: plan.outputs?.length === fields.length ? typeNameOf(plan.outputs[index], catalogue) : null,
      isBinary: field.format === 1,
      ...settings,
    });
  });
  return masking(cells);
}

/** The names of a column; of number 0, which is the whole row, those of all columns. */
function columnsOf(catalogue: CatalogueLookup | null, oid: number, number: number): readonly ColumnName[] {
  if (number > 0) return catalogue?.columnOf?.(oid, number) ?? [];
  return Array.from({ length: MOST_COLUMNS }, (_, index) => catalogue?.columnOf?.(oid, index + 1) ?? []).flat();
}

/** Of a table (MaxHeapAttributeNumber). */
const MOST_COLUMNS = 1600;

/** Object identifiers below are of relations that initdb made (FirstNormalObjectId). */
const FIRST_OF_USERS = 16384;

function mismatch(why: string): CompiledResult {
  return { rows: null, mismatch: why };
}

/** How the rows of a COPY are masked. Nothing describes them: types are those of the catalogue. */
export function compileCopy(
  plan: MaskPlan,
  format: CopyFormat,
  columnCount: number,
  catalogue: CatalogueLookup | null,
  settings: ResultSettings,
): CompiledResult {
  const { columns, outputs } = plan;
  if (columns === null || columns.length !== columnCount) {
    if (plan.ids.length > 0 || plan.touchesMasked || plan.readsMasked) {
      return mismatch(`the copy has ${columnCount} columns, ${columns?.length ?? 'unknown'} were expected`);
    }
  }
  const encoding = format.encoding?.toUpperCase().replace(/[^A-Z0-9]/g, '') ?? null;
  if (encoding !== null && encoding !== 'UTF8' && plan.ids.length > 0)
    return mismatch('the copy has an encoding of its own');
  const cells = Array.from({ length: columnCount }, (_, index): Cell | null => {
    const planned: ColumnPlan | null = columns?.length === columnCount ? columns[index]! : plan.every;
    if (planned === null) return null;
    const typeName = typeNameOf(outputs?.[index], catalogue);
    const form: ColumnForm = {
      ...copyTypeOf(planned.isDerived ? null : typeName),
      typeName,
      isBinary: format.format === 'binary',
      ...settings,
    };
    return compilePostgresCell(planned, form);
  });
  return masking(cells);
}

/** The type of the stored column an output shows, as the catalogue names it. */
function typeNameOf(output: OutputColumn | undefined, catalogue: CatalogueLookup | null): string | null {
  if (output?.from !== 'plain' || catalogue === null) return null;
  for (const { schema, relation, column } of output.columns) {
    if (schema === null) continue;
    const found = catalogue.relation(schema, relation)?.columns.find(({ name }) => name === column);
    if (found !== undefined) return found.type;
  }
  return null;
}
