import { decodeDataRow } from '../../../protocols/postgres/backend.ts';
import type { StatementFacts } from '../../statements/facts.ts';
import type { SessionClaims } from '../claims.ts';
import { ownQuestion } from './own-question.ts';

/** Settings that a session has named. Further ones are claims until its end, whatever becomes of them. */
const MOST_NAMES = 50;
/** Names that are the same bytes in every encoding. */
const ASCII_NAME = /^[\w.$]{1,100}$/;
/** https://www.postgresql.org/docs/current/catalog-pg-type.html: text[]. */
const TEXT_ARRAY = 1009;

const NAME = 'sluice claims';
/** The value in UTF-8, whatever the encodings are. */
const VALUES = `SELECT name::text, pg_catalog.convert_to(pg_catalog.current_setting('sluice.' || name, true), 'UTF8')
  FROM pg_catalog.unnest($1) AS name`;

/**
 * What a client claims by `SET sluice.NAME`. They are settings of the session at the server, so that LOCAL, transactions and
 * RESET are its doing: their values are taken from the text, and asked for as soon as that can be done.
 */
export class SettingClaims {
  readonly #claims: SessionClaims;
  readonly #names: Set<string>;
  /** True if the server has to be asked. */
  isUnsure = false;
  /** True if one was changed in a transaction that may still take that back. */
  #isTouched = false;

  constructor(claims: SessionClaims) {
    this.#claims = claims;
    const isSetting = (name: string) => name !== 'application_name' && ASCII_NAME.test(name);
    this.#names = new Set([...claims.all.keys()].filter(isSetting));
  }

  /** Statements are judged that will be sent if nothing refuses them. */
  coming(statements: readonly { readonly facts: StatementFacts }[]): void {
    for (let i = 0; i < statements.length; i++) {
      const { claims, effects } = statements[i]!.facts;
      if (claims !== undefined) {
        for (const { name, value } of claims) {
          if (value !== undefined) this.#claims.set(name, value);
          if (ASCII_NAME.test(name) && this.#names.size < MOST_NAMES) this.#names.add(name);
        }
        this.isUnsure = true;
        this.#isTouched = true;
      } else if (this.#names.size > 0 && !this.isUnsure) {
        this.isUnsure = effects.some(
          ({ effect, object }) =>
            (effect === 'set-session' && (object === null || object.name === 'all')) ||
            effect === 'opaque' ||
            effect === 'call-procedure' ||
            (effect === 'transaction' && this.#isTouched),
        );
      }
    }
  }

  /** Asks for their values. Ends with a Sync. */
  question(): Buffer {
    const names = [...this.#names].map((name) => `"${name}"`).join(',');
    return ownQuestion(NAME, VALUES, { type: TEXT_ARRAY, value: Buffer.from(`{${names}}`) }, [1]);
  }

  /** @param rows bodies of the DataRow messages of the answer; none if the server did not give any */
  answered(rows: readonly Buffer[], inTransaction: boolean): void {
    for (const row of rows) {
      const [name, value] = decodeDataRow(row);
      const text = value?.toString('utf8') ?? '';
      this.#claims.set(name!.toString('utf8'), text === '' ? null : text);
    }
    this.isUnsure = false;
    if (!inTransaction) this.#isTouched = false;
  }
}
