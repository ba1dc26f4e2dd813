import { decodeParameterDescription, encodeParameterDescription } from '../../../protocols/postgres/backend.ts';
import { decodeBind, decodeParse, encodeBind, encodeParse, encodeQuery } from '../../../protocols/postgres/frontend.ts';
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

/** The Parse in the place of the client's: its parameters stay, and the answer is one more. */
export function ownParse(asks: Asks, body: Buffer): Buffer {
  const { statement, text, parameterTypes } = decodeParse(body);
  const parameters = Math.min(Math.max(parameterTypes.length, parametersOf(text)), MOST_PARAMETERS);
  // Nothing in our text says what the others are.
  const types = Array.from({ length: parameters }, (_, i) => {
    const type = parameterTypes[i] ?? 0;
    return type === 0 || type === UNKNOWN_TYPE ? TEXT_TYPE : type;
  });
  return encodeParse({
    statement,
    text: selectFrom(asks, `$${parameters + 1}`),
    parameterTypes: [...types, JSON_TYPE],
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
