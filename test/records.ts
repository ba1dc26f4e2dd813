import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

interface RecordSchema {
  readonly oneOf: readonly { readonly properties: { readonly event: { readonly const: string } } }[];
  readonly $defs: object;
}

let validators: ReadonlyMap<string, ValidateFunction> | null = null;

/**
 * Checks records against the published schema, docs/records.schema.json.
 * @throws Error that names the first ones with an event or a field that is not declared there, or another type
 */
export function checkRecords(records: readonly Readonly<Record<string, unknown>>[]): void {
  validators ??= compile();
  const wrong: string[] = [];
  for (const record of records) {
    const validator = validators.get(record.event as string);
    if (validator === undefined) wrong.push(`${record.event} is no event of the schema: ${JSON.stringify(record)}`);
    else if (!validator(record)) {
      const why = validator.errors!.map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
      wrong.push(`${why.join('; ')}: ${JSON.stringify(record)}`);
    }
  }
  if (wrong.length > 0) {
    throw new Error(`records that docs/records.schema.json does not allow:\n${wrong.slice(0, 5).join('\n')}`);
  }
}

/** One for each event: of a union, the validator could not say which of its parts was meant. */
function compile(): ReadonlyMap<string, ValidateFunction> {
  const schema = JSON.parse(
    readFileSync(join(import.meta.dirname, '../docs/records.schema.json'), 'utf8'),
  ) as RecordSchema;
  const ajv = new Ajv2020({ allowUnionTypes: true });
  addFormats.default(ajv);
  return new Map(
    schema.oneOf.map((event) => [event.properties.event.const, ajv.compile({ ...event, $defs: schema.$defs })]),
  );
}
