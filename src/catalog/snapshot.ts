import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import type { CatalogueData } from '../statements/catalogue.ts';
import { inOrder } from './order.ts';

/** A snapshot file that cannot be used. The message names the file, and the place in it. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';

  constructor(file: string, reason: string) {
    super(`catalogue snapshot ${file} ${reason}`);
  }
}

const name = z.strictObject({ schema: z.string(), name: z.string() });
const names = z.array(z.string());

const column = z.strictObject({
  name: z.string(),
  type: z.string(),
  notNull: z.boolean(),
  generated: z.string().nullable(),
});

const relation = z.strictObject({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(['table', 'partitioned', 'view', 'materialized view', 'foreign table', 'sequence', 'type']),
  columns: z.array(column),
  // A key of no columns would be "bounded on all of its columns" by any statement.
  keys: z.array(names.min(1)),
  foreignKeys: z.array(
    z.strictObject({
      columns: names,
      references: name,
      referencedColumns: names,
      onDelete: z.string(),
      onUpdate: z.string(),
    }),
  ),
  parents: z.array(name),
  definition: z.string().nullable(),
  triggers: z.array(
    z.strictObject({
      name: z.string(),
      timing: z.enum(['before', 'after', 'instead of']),
      events: z.array(z.enum(['insert', 'update', 'delete', 'truncate'])),
      function: name.nullable(),
      body: z.string(),
    }),
  ),
  rules: z.array(z.strictObject({ name: z.string(), event: z.string(), definition: z.string() })),
  rowSecurity: z.boolean(),
  engine: z.string().exactOptional(),
  expressions: z
    .array(
      z.strictObject({
        kind: z.enum(['default', 'check', 'index', 'policy']),
        column: z.string().nullable(),
        expression: z.string(),
      }),
    )
    .exactOptional(),
});

const snapshot: z.ZodType<CatalogueData> = z.strictObject({
  version: z.literal(1),
  dialect: z.enum(['postgres', 'mysql', 'mariadb']),
  serverVersion: z.string(),
  database: z.string(),
  foldsNames: z.boolean(),
  unseen: names,
  relations: z.array(relation),
  functions: z.array(
    z.strictObject({
      schema: z.string(),
      name: z.string(),
      kind: z.enum(['function', 'procedure', 'aggregate', 'window']),
      arguments: names,
      signature: z.string().exactOptional(),
      settings: names.exactOptional(),
      returns: z.string(),
      volatility: z.enum(['immutable', 'stable', 'volatile']),
      language: z.string(),
      securityDefiner: z.boolean(),
      calls: z.array(name),
      body: z.string().nullable(),
      extension: z.string().nullable(),
    }),
  ),
  operators: z.array(
    z.strictObject({
      schema: z.string(),
      name: z.string(),
      left: z.string().nullable(),
      right: z.string().nullable(),
      function: name,
    }),
  ),
  casts: z.array(
    z.strictObject({
      source: z.string(),
      target: z.string(),
      function: name.nullable(),
      context: z.enum(['explicit', 'assignment', 'implicit']),
    }),
  ),
  types: z.array(
    z.strictObject({
      schema: z.string(),
      name: z.string(),
      kind: z.enum(['domain', 'base', 'enum', 'range', 'composite']),
      checks: names,
      functions: z.array(name),
    }),
  ),
});

/** Writes a catalogue for use without its server, whole or not at all: JSON in an order that only the schema decides. */
export async function writeSnapshot(file: string, data: CatalogueData): Promise<void> {
  const unfinished = `${file}.${process.pid}.new`;
  try {
    // Identifiers are of one database; the schema is what a snapshot is about.
    const { origins: _origins, ...schema } = inOrder(data);
    await writeFile(unfinished, `${JSON.stringify(schema, null, 2)}\n`);
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw new SnapshotError(file, `cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** @throws SnapshotError */
export async function readSnapshot(file: string): Promise<CatalogueData> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new SnapshotError(file, `is not JSON: ${error.message}`);
    throw new SnapshotError(file, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (version !== undefined && version !== 1) {
    throw new SnapshotError(file, `has version ${JSON.stringify(version)}; this Sluice reads 1: write it anew`);
  }
  const { error } = snapshot.safeParse(value);
  const issue = error?.issues[0];
  if (issue !== undefined) throw new SnapshotError(file, `is not valid at ${place(issue.path)}: ${issue.message}`);
  // Not the parsed copy: that one has its keys in another order, and so another hash than what the server gave.
  return inOrder(value as CatalogueData);
}

/** `relations[3].columns[0].type` */
function place(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return text === '' ? 'the top' : text.replace(/^\./, '');
}
