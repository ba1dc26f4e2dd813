import { TYPE } from '../../../protocols/postgres/values.ts';

const TYPES: ReadonlyMap<string, number> = new Map([
  ['text', TYPE.text],
  ['character varying', TYPE.varchar],
  ['character', TYPE.bpchar],
  ['name', TYPE.name],
  ['smallint', TYPE.int2],
  ['integer', TYPE.int4],
  ['bigint', TYPE.int8],
  ['oid', TYPE.oid],
  ['real', TYPE.float4],
  ['double precision', TYPE.float8],
  ['numeric', TYPE.numeric],
  ['boolean', TYPE.bool],
  ['date', TYPE.date],
  ['timestamp without time zone', TYPE.timestamp],
  ['timestamp with time zone', TYPE.timestamptz],
  ['time without time zone', TYPE.time],
  ['uuid', TYPE.uuid],
  ['json', TYPE.json],
  ['jsonb', TYPE.jsonb],
  ['bytea', TYPE.bytea],
  ['inet', TYPE.inet],
  ['cidr', TYPE.cidr],
  ['text[]', 1009],
]);

/** A type that nothing can be made of: values that are masked become NULL. */
const OPAQUE = { type: 0, modifier: -1 };

/**
 * The identifier and modifier of a type that the catalogue names as format_type() does, `character varying(20)`.
 * A type that is not known, or `null`, is one that masks make NULL of.
 */
export function copyTypeOf(name: string | null): { readonly type: number; readonly modifier: number } {
  const [, base = '', length, scale = '0', rest = ''] =
    /^([a-z ]+?)(?:\((\d+)(?:,(-?\d+))?\))?((?: with(?:out)? time zone)?(?:\[\])?)$/.exec(name ?? '') ?? [];
  const type = TYPES.get(base + rest);
  if (type === undefined) return OPAQUE;
  if (length === undefined) return { type, modifier: -1 };
  if (type === TYPE.numeric) return { type, modifier: ((Number(length) << 16) | (Number(scale) & 0x7ff)) + 4 };
  return { type, modifier: type === TYPE.varchar || type === TYPE.bpchar ? Number(length) + 4 : -1 };
}
