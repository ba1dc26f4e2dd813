import { isSafeCharacterSet } from '../../statements/mysql/character-sets.ts';
import { lexingStateOf, type MysqlModes } from '../../statements/mysql/server.ts';

/** One object for each state there is, so that states can be compared as references. */
const KNOWN_MODES = new Map<string, MysqlModes>();

function modesOf(sqlMode: string): MysqlModes {
  const { database: _database, ...modes } = lexingStateOf(sqlMode, null);
  const key = Object.values(modes).map(Number).join('');
  const known = KNOWN_MODES.get(key);
  if (known !== undefined) return known;
  KNOWN_MODES.set(key, modes);
  return modes;
}

const UTF8 = new Set(['utf8', 'utf8mb3', 'utf8mb4']);
/** What the servers call latin1 is this, and bytes that it leaves out are the control characters of ISO 8859-1. */
const LATIN1 = new TextDecoder('windows-1252');

/** Settings that decide how text is read, and the ones rules may want to know. The upstream is asked to report them. */
export const REPORTED = [
  'sql_mode',
  'character_set_client',
  'character_set_connection',
  'character_set_results',
  'autocommit',
  'time_zone',
];

/**
 * How the server reads the bytes of SQL text: sql_mode, character_set_client and the default database, as its OK packets
 * report them, or as it says when it is asked.
 */
export class TextReading {
  /** Settings the server reported, as it last did. */
  settings: ReadonlyMap<string, string> = new Map();
  /** `null` if there is none. */
  database: string | null = null;
  modes: MysqlModes = modesOf('');
  #characterSet = 'utf8mb4';

  /** @returns false if text in that character set cannot be read safely */
  report(name: string, value: string): boolean {
    this.settings = new Map(this.settings).set(name, value);
    if (name === 'sql_mode') this.modes = modesOf(value);
    if (name !== 'character_set_client') return true;
    this.#characterSet = value;
    return isSafeCharacterSet(value);
  }

  /** The same, of a value of {@link REPORTED} by its place there. */
  reportAt(index: number, value: string): boolean {
    return this.report(REPORTED[index]!, value);
  }

  /**
   * The text as the server reads it, or `null` if that cannot be known.
   *
   * Drivers put binary values into texts in UTF-8, as they are: bytes that are no UTF-8 are read as U+FFFD. No quote or
   * backslash is among them for the server either, so they move no border; that they stand for no name is the caller's care.
   */
  read(bytes: Buffer, from: number, to: number): string | null {
    const text = bytes.toString('utf8', from, to);
    if (UTF8.has(this.#characterSet)) return text;
    if (text.length === to - from && !text.includes('\ufffd')) return text; // ASCII is the same in every character set that is let through
    return this.#characterSet === 'latin1' ? LATIN1.decode(bytes.subarray(from, to)) : null;
  }
}
