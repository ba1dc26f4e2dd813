/**
 * Makes a JSON Schema of the OCSF classes that Sluice writes: `node test/ocsf/compile.ts DIRECTORY`, where DIRECTORY is a
 * checkout of https://github.com/ocsf/ocsf-schema. Attributes that Sluice does not write are left out, so they count as unknown, and
 * deprecated ones are as well. `npm run format` then lays it out.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Attribute {
  readonly type?: string;
  readonly is_array?: boolean;
  readonly requirement?: string;
  readonly enum?: Readonly<Record<string, { readonly caption: string }>>;
  readonly '@deprecated'?: object;
}

interface Definition {
  readonly extends?: string;
  readonly category?: string;
  readonly uid?: number;
  readonly caption: string;
  readonly attributes: Readonly<Record<string, Attribute>> & { readonly $include?: readonly string[] };
  readonly constraints?: { readonly at_least_one?: readonly string[] };
}

const CLASSES = ['base_event', 'datastore_activity', 'authentication', 'entity_management'];
/** Profiles that Sluice writes; those that a class does not have are not added to it. */
const PROFILES = ['security_control', 'ai_operation', 'record_integrity'];
/** Objects that Sluice writes, and below which it writes nothing else. */
const OBJECTS = new Set(
  (
    'actor user group session idp network_endpoint database table query_info metadata product firewall_rule policy ai_agent ' +
    'ai_model message_context service managed_entity attestation fingerprint prev_event object'
  ).split(' '),
);
const TYPES: Readonly<Record<string, object>> = {
  integer_t: { type: 'integer' },
  long_t: { type: 'integer' },
  port_t: { type: 'integer', minimum: 0, maximum: 65535 },
  timestamp_t: { type: 'integer' },
  float_t: { type: 'number' },
  boolean_t: { type: 'boolean' },
  json_t: {},
};

const root = process.argv[2]!;
const read = (file: string): Definition => JSON.parse(readFileSync(join(root, file), 'utf8'));
const dictionary = read('dictionary.json') as Definition & {
  types: { attributes: Record<string, { regex?: string }> };
};
const files = new Map(
  readdirSync(join(root, 'events'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .map((file) => [basename(file, '.json'), `events/${file}`]),
);
const { version } = JSON.parse(readFileSync(join(root, 'version.json'), 'utf8')) as { version: string };

function attributesOf(file: string): Record<string, Attribute> {
  const { extends: base, attributes } = read(file);
  const own: Record<string, Attribute> = {};
  for (const include of attributes.$include ?? []) {
    if (PROFILES.includes(basename(include, '.json'))) Object.assign(own, attributesOf(include));
  }
  const inherited = base === undefined ? {} : attributesOf(files.get(base) ?? `objects/${base}.json`);
  const all: Record<string, Attribute> = { ...inherited, ...own };
  const { $include: _included, ...described } = attributes;
  for (const [name, attribute] of Object.entries(described as Readonly<Record<string, Attribute>>)) {
    const before = all[name];
    all[name] = { ...before, ...attribute, enum: { ...before?.enum, ...attribute.enum } };
  }
  return all;
}

/** Numbers of classes and activities are put together from those of their categories: CONTRIBUTING.md there. */
function classOf(file: string): object {
  const category = categories[categoryOf(file)]?.uid ?? 0;
  const uid = category * 1000 + (read(file).uid ?? 0);
  const schema = schemaOf(file) as { properties: Record<string, { enum?: number[] }> };
  const { properties } = schema;
  properties.category_uid = { enum: [category] };
  properties.class_uid = { enum: [uid] };
  properties.type_uid = { enum: properties.activity_id!.enum!.map((activity) => uid * 100 + activity) };
  return schema;
}

function categoryOf(file: string): string {
  const { category, extends: base } = read(file);
  return category ?? (base === undefined ? '' : categoryOf(files.get(base)!));
}

function schemaOf(file: string): object {
  const { constraints } = read(file);
  const attributes = Object.entries(attributesOf(file)).filter(
    ([, attribute]) => attribute['@deprecated'] === undefined,
  );
  const properties = attributes.flatMap(([name, attribute]) => {
    const schema = propertyOf(name, attribute);
    return schema === null ? [] : [[name, schema] as const];
  });
  const anyOf = (constraints?.at_least_one ?? []).map((name) => ({ required: [name] }));
  return {
    type: 'object',
    required: attributes.filter(([, { requirement }]) => requirement === 'required').map(([name]) => name),
    properties: Object.fromEntries(properties),
    additionalProperties: false,
    ...(anyOf.length > 0 && { anyOf }),
  };
}

/** `null` for an attribute whose object Sluice does not write. */
function propertyOf(name: string, attribute: Attribute): object | null {
  const known = dictionary.attributes[name];
  const type = attribute.type ?? known?.type;
  if (type === undefined) throw new Error(`no type for ${name}`);
  const one = typeOf(type, { ...known?.enum, ...attribute.enum });
  if (one === null) return null;
  return (attribute.is_array ?? known?.is_array) === true ? { type: 'array', items: one } : one;
}

function typeOf(type: string, values: Readonly<Record<string, object>>): object | null {
  if (existsSync(join(root, `objects/${type}.json`))) {
    if (type === 'object') return { type: 'object' };
    return OBJECTS.has(type) ? { $ref: `#/$defs/${type}` } : null;
  }
  const plain = TYPES[type] ?? { type: 'string' };
  const numbers = Object.keys(values).map(Number);
  if (numbers.length > 0 && 'type' in plain && plain.type === 'integer') return { enum: numbers };
  const { regex } = dictionary.types.attributes[type] ?? {};
  return regex === undefined || type !== 'ip_t' ? plain : { ...plain, pattern: regex };
}

const definitions = [...OBJECTS]
  .filter((name) => name !== 'object')
  .map((name) => [name, schemaOf(`objects/${name}.json`)] as const);
const categories = read('categories.json').attributes as unknown as Record<string, { readonly uid: number }>;
const classes = CLASSES.map((name) => [name, classOf(files.get(name)!)] as const);
const schema = {
  $comment: `Made by test/ocsf/compile.ts of OCSF ${version} (https://github.com/ocsf/ocsf-schema, Apache-2.0)`,
  $defs: Object.fromEntries([...definitions, ...classes]),
};
writeFileSync(new URL('schema.json', import.meta.url), `${JSON.stringify(schema, null, 1)}\n`);
