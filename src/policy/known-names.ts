import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import type { FunctionClass, KnownNames } from '../statements/postgres/functions.ts';

/**
 * The lists of functions and operators under `rules/data/`, for the analysis of statements. What they mean is in
 * their own first lines, and at {@link FunctionClass}.
 */

const names = z.array(z.string().min(1)).default([]);

const fileSchema = z.strictObject({
  version: z.literal(1),
  pure: names,
  volatile: names,
  resource: names,
  other: names,
  sets: names,
  rows: z.record(z.string(), z.array(z.string())).default({}),
  extensions: z.record(z.string(), z.array(z.string())).default({}),
  operators: names,
});

const CLASSES: readonly FunctionClass[] = ['pure', 'volatile', 'resource', 'other'];

const SHIPPED = ['postgres-functions.yaml', 'postgres-operators.yaml', 'postgres-extensions.yaml'].map(shipped);

const MYSQL = shipped('mysql-functions.yaml');

function shipped(name: string): string {
  return fileURLToPath(new URL(`../../rules/data/${name}`, import.meta.url));
}

/**
 * Reads the lists that ship and then those given: where a function is in several, the last file counts.
 *
 * @throws Error naming the file, if one cannot be read or is not of this form
 */
export function loadKnownNames(more: readonly string[] = []): KnownNames {
  const functions = new Map<string, FunctionClass>();
  const rowFunctions = new Map<string, readonly string[]>();
  const setFunctions = new Set<string>();
  const extensions = new Map<string, ReadonlySet<string>>();
  const operators = new Set<string>();
  for (const path of [...SHIPPED, ...more]) {
    const file = readList(path);
    addFunctions(functions, file, path);
    for (const [name, columns] of Object.entries(file.rows)) rowFunctions.set(name, columns);
    for (const name of file.sets) setFunctions.add(name);
    for (const [name, functions] of Object.entries(file.extensions)) extensions.set(name, new Set(functions));
    for (const name of file.operators) operators.add(name);
  }
  return { functions, rowFunctions, setFunctions, extensions, operators };
}

/**
 * The functions of MySQL and MariaDB, by their names in lower case.
 *
 * @throws Error as {@link loadKnownNames}
 */
export function loadMysqlFunctions(): ReadonlyMap<string, FunctionClass> {
  const functions = new Map<string, FunctionClass>();
  addFunctions(functions, readList(MYSQL), MYSQL);
  return functions;
}

function addFunctions(functions: Map<string, FunctionClass>, file: z.infer<typeof fileSchema>, path: string): void {
  const here = new Set<string>();
  for (const kind of CLASSES) {
    for (const name of file[kind]) {
      if (here.has(name)) throw new Error(`${path}: ${name} is listed twice`);
      here.add(name);
      functions.set(name, kind);
    }
  }
}

function readList(path: string): z.infer<typeof fileSchema> {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
  const read = fileSchema.safeParse(content);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Error(`${path}: ${issue!.path.join('.')} ${issue!.message}`);
}
