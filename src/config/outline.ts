/** The keys sluice.yaml can have, read off the schema: for suggestions, `SLUICE_*` variables and the reference. */

import { z } from 'zod';
import { configSchema } from './schema.ts';

/** The part of JSON Schema that zod writes for `configSchema`. */
export interface Outline {
  readonly type?: 'object' | 'array' | 'string' | 'integer';
  readonly properties?: Readonly<Record<string, Outline>>;
  readonly required?: readonly string[];
  readonly items?: Outline;
  /** One of several shapes, told apart by the constant that one of their keys has. */
  readonly oneOf?: readonly Outline[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly default?: unknown;
  readonly title?: string;
  readonly description?: string;
}

export const configOutline = z.toJSONSchema(configSchema, { io: 'input' }) as Outline;

/**
 * The outline of what is at a path of keys and indexes, `null` if there is no such thing. Of something that has one of several
 * shapes it has the keys of all.
 */
export function outlineAt(path: readonly PropertyKey[]): Outline | null {
  let outline: Outline | undefined = configOutline;
  for (const step of path) {
    outline = typeof step === 'number' ? merged(outline?.items) : outline?.properties?.[String(step)];
  }
  return outline ?? null;
}

function merged(outline: Outline | undefined): Outline | undefined {
  if (outline?.oneOf === undefined) return outline;
  return { ...outline, properties: Object.assign({}, ...outline.oneOf.map(({ properties }) => properties)) };
}

/** The `SLUICE_*` variable of every single value that is not in a list, and the path of keys it stands for. */
export const overrideVariables: ReadonlyMap<string, readonly string[]> = new Map(
  scalarPaths(configOutline, []).map((path) => [`SLUICE_${path.join('_').toUpperCase()}`, path]),
);

function scalarPaths(outline: Outline, path: readonly string[]): (readonly string[])[] {
  if (outline.properties !== undefined) {
    return Object.entries(outline.properties).flatMap(([key, inner]) => scalarPaths(inner, [...path, key]));
  }
  return outline.type === 'array' ? [] : [path];
}
