/**
 * The JSON Schema of rule files, by which editors complete and check them: `node src/policy/json-schema.ts` writes
 * rules/schema.json. A test fails when the two disagree.
 */

import { writeFileSync } from 'node:fs';
import { z } from 'zod';
import { ruleFileSchema } from './rule-schema.ts';

/** The part of JSON Schema that is written here. */
export interface RuleOutline {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, RuleOutline>>;
  readonly required?: readonly string[];
  readonly items?: RuleOutline;
  readonly anyOf?: readonly RuleOutline[];
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
}

export const ruleOutline: RuleOutline = z.toJSONSchema(ruleFileSchema, {
  io: 'output',
  override: ({ jsonSchema }) => {
    const schema = jsonSchema as Record<string, unknown>;
    // What the schema brings into one form before it checks it: a single value for a list of one, a name for a masker.
    if (schema.oneOrMore === true) {
      const { description, items, minItems } = schema;
      for (const key of Object.keys(schema)) delete schema[key];
      Object.assign(schema, description === undefined ? {} : { description });
      schema.anyOf = [items, { type: 'array', items, minItems }];
    }
    if (schema.masker === true) {
      const { description, properties } = schema;
      for (const key of Object.keys(schema)) delete schema[key];
      Object.assign(schema, description === undefined ? {} : { description });
      const object = { type: 'object', properties, additionalProperties: false, minProperties: 1, maxProperties: 1 };
      schema.anyOf = [{ type: 'null' }, { enum: ['null', 'redact', 'year', 'month'] }, object];
    }
  },
}) as RuleOutline;

/** The keys that may stand at a place of the file: for suggestions about misspelt ones. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let outlines: readonly RuleOutline[] = [ruleOutline];
  for (const step of path) {
    outlines = alternatives(outlines).flatMap(({ items, properties }) => {
      const next = typeof step === 'number' ? items : properties?.[String(step)];
      return next === undefined ? [] : [next];
    });
  }
  return alternatives(outlines).flatMap(({ properties }) => Object.keys(properties ?? {}));
}

function alternatives(outlines: readonly RuleOutline[]): readonly RuleOutline[] {
  return outlines.flatMap((outline) => (outline.anyOf === undefined ? [outline] : alternatives(outline.anyOf)));
}

/** rules/schema.json as it should be. */
export function ruleSchemaText(): string {
  const { $schema, ...rest } = ruleOutline as Record<string, unknown>;
  return `${JSON.stringify({ $schema, title: 'Rules of Sluice', ...rest }, null, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync(new URL('../../rules/schema.json', import.meta.url), ruleSchemaText());
}
