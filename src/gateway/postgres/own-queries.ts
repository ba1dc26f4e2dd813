import { decodeParameterDescription, encodeParameterDescription } from '../../../protocols/postgres/backend.ts';
import { decodeBind, decodeParse, encodeBind, encodeParse, encodeQuery } from '../../../protocols/postgres/frontend.ts';
import type { CatalogueLookup } from '../../statements/catalogue.ts';
import type { ColumnName } from '../../statements/facts.ts';
import { OWN_COLUMNS, type OwnStatement } from '../../statements/own-statement.ts';
import { wordsOf } from '../../statements/postgres/words.ts';
import type { OwnRow } from '../own-answers.ts';

/**
 * What is sent in the place of a question to Sluice: a query that returns the answer. So its place in a pipeline, its
 * description, formats, portals, and what a failed transaction makes of it are the server's own doing. Names are qualified,
 * because the search path is the client's, and everything is ASCII, whatever the encodings are.
 */

type Asks = OwnStatement['asks'];

const TYPES = { integer: 'int8', text: 'text', time: 'timestamptz' } as const;
/** https://www.postgresql.org/docs/current/catalog-pg-type.html; the OIDs of pg_type.dat never change. */
const JSON_TYPE = 114;
const TEXT_TYPE = 25;
const UNKNOWN_TYPE = 705;
/** Of a statement (Bind counts them in an Int16); one is ours. */
const MOST_PARAMETERS = 65534;

/** @param argument JSON, as SQL */
function selectFrom(asks: Asks, argument: string): string {
  const columns = OWN_COLUMNS[asks].map(([name, type]) => `${name} pg_catalog.${TYPES[type]}`);
  return `SELECT * FROM pg_catalog.json_to_recordset(${argument}) AS answer(${columns.join(', ')})`;
}

/** The Query that answers. @param serverEncoding as the server reports it */
export function ownQuery(asks: Asks, rows: readonly OwnRow[], serverEncoding: string): Buffer {
  const json = asJson(asks, rows, serverEncoding);
  return encodeQuery(selectFrom(asks, `E'${json.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`));
}

/**
 * The Parse in the place of the client's: its parameters stay, and the answer is one more.
 *
 * @param known types of parameters that the client does not declare, where they can be told
 */
export function ownParse(asks: Asks, body: Buffer, known: readonly (number | null)[]): Buffer {
  const { statement, text, parameterTypes } = decodeParse(body);
  const parameters = Math.min(Math.max(parameterTypes.length, parametersOf(text)), MOST_PARAMETERS);
  // Nothing in our text says what they are.
  const types = Array.from({ length: parameters }, (_, i) => {
    const type = parameterTypes[i] ?? 0;
    return type === 0 || type === UNKNOWN_TYPE ? (known[i] ?? TEXT_TYPE) : type;
  });
  return encodeParse({
    statement,
    text: selectFrom(asks, `$${parameters + 1}`),
    parameterTypes: [...types, JSON_TYPE],
  });
}

/** OIDs of types by the names that the server prints. Others count as text, as do parameters that meet no column. */
const TYPE_OIDS: Readonly<Record<string, number>> = {
  boolean: 16,
  bytea: 17,
  bigint: 20,
  smallint: 21,
  integer: 23,
  text: 25,
  json: 114,
  real: 700,
  'double precision': 701,
  character: 1042,
  'character varying': 1043,
  date: 1082,
  'time without time zone': 1083,
  'timestamp without time zone': 1114,
  'timestamp with time zone': 1184,
  interval: 1186,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
};

/** The types of parameters by the columns they are compared with or written to; `null` where that is not one type. */
export function parameterTypes(
  parameters: readonly (readonly ColumnName[] | null)[],
  catalogue: CatalogueLookup | null,
): (number | null)[] {
  const typeOf = ({ schema, relation, column }: ColumnName): number | null => {
    const found = schema === null ? null : (catalogue?.relation(schema, relation) ?? null);
    const type = found?.columns.find(({ name }) => name === column)?.type.replace(/\(.*\)/, '') ?? '';
    return Object.hasOwn(TYPE_OIDS, type) ? TYPE_OIDS[type]! : null;
  };
  return parameters.map((columns) => {
    const types = new Set(columns?.map(typeOf));
    return types.size === 1 ? [...types][0]! : null;
  });
}

function parametersOf(text: string): number {
  return wordsOf(text).reduce(
    (most, { keyword }) => (keyword[0] === '$' ? Math.max(most, Number(keyword.slice(1))) : most),
    0,
  );
}

/** The Bind in the place of the client's, with the answer in it. */
export function ownBind(asks: Asks, body: Buffer, rows: readonly OwnRow[], serverEncoding: string): Buffer {
  const bind = decodeBind(body);
  const { parameters, parameterFormats } = bind;
  const formats = parameters.map(
    (_, i) => (parameterFormats.length === 1 ? parameterFormats[0] : parameterFormats[i]) ?? 0,
  );
  return encodeBind({
    ...bind,
    parameterFormats: [...formats, 0],
    parameters: [...parameters, Buffer.from(asJson(asks, rows, serverEncoding), 'latin1')],
  });
}

/** A ParameterDescription without its last parameter, which is ours. */
export function withoutLastParameter(body: Buffer): Buffer {
  return encodeParameterDescription(decodeParameterDescription(body).slice(0, -1));
}

/** In ASCII. A database in another encoding than UTF-8 does not take every character: others become `?`. */
function asJson(asks: Asks, rows: readonly OwnRow[], serverEncoding: string): string {
  const names = OWN_COLUMNS[asks].map(([name]) => name);
  const objects = rows.map((row) => Object.fromEntries(row.map((value, i) => [names[i], textFor(value)])));
  const isUnicode = serverEncoding.toUpperCase() === 'UTF8';
  return JSON.stringify(objects).replace(/[\u0080-\uffff]/g, (unit) =>
    isUnicode ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : '?',
  );
}

/** The server's text has no NUL. */
function textFor(value: string | null): string | null {
  return value?.replaceAll('\0', '').toWellFormed() ?? null;
}
