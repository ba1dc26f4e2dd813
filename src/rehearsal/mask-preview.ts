import type { SampleRows } from '../catalog/service-connection.ts';
import { compileResult as compileMysqlResult } from '../gateway/mysql/result-masking.ts';
import { compileResult as compilePostgresResult } from '../gateway/postgres/masked-results.ts';
import { type Cell, maskedValue } from '../masking/cells.ts';
import type { MaskPlan } from '../policy/mask-plan.ts';
import type { CatalogueLookup } from '../statements/catalogue.ts';

/** The rows as a client would get them; or why it would get none: the server describes another result than is expected. */
export type MaskedSample =
  | { readonly rows: readonly (readonly (Buffer | null)[])[]; readonly mismatch: null }
  | { readonly rows: null; readonly mismatch: string };

/** Masks rows by the code that masks them between a client and a server. @param plan `null` where nothing is masked */
export function maskSample(
  protocol: 'postgres' | 'mysql',
  plan: MaskPlan | null,
  { description, rows }: SampleRows,
  catalogue: CatalogueLookup | null,
): MaskedSample {
  if (plan === null) return { rows, mismatch: null };
  const { cells, mismatch } =
    protocol === 'postgres' ? postgresCells(plan, description, catalogue) : mysqlCells(plan, description, catalogue);
  if (mismatch !== null) return { rows: null, mismatch };
  if (cells === null) return { rows, mismatch: null };
  return {
    rows: rows.map((row) =>
      row.map((value, index) => {
        const cell = cells[index] ?? null;
        if (cell === null) return value;
        if (value === null) return cell.coversNull ? (cell.fixed ?? null) : null;
        return maskedValue(cell, value);
      }),
    ),
    mismatch: null,
  };
}

interface Cells {
  readonly cells: readonly (Cell | null)[] | null;
  readonly mismatch: string | null;
}

function postgresCells(plan: MaskPlan, description: Buffer, catalogue: CatalogueLookup | null): Cells {
  const result = compilePostgresResult(plan, description, catalogue, { isoDates: true, isUtf8: true });
  return { cells: result.rows?.cells ?? null, mismatch: result.mismatch };
}

function mysqlCells(plan: MaskPlan, description: Buffer, catalogue: CatalogueLookup | null): Cells {
  const capabilities = { client: 0, mariadb: 0 };
  const result = compileMysqlResult(plan, description, { catalogue, capabilities, isBinary: false, isBulk: false });
  if (result.mismatch !== null) return { cells: null, mismatch: result.mismatch };
  return { cells: result.masker?.cells ?? null, mismatch: null };
}
