import { opaqueText, type StatementFacts, type TextFacts } from '../facts.ts';
import { withoutCommentsInStrings } from './continued-strings.ts';
import { analyseStatement, TooComplex } from './effects.ts';
import type { Names } from './names.ts';
import { tooDeep } from './nesting.ts';
import { changesSearchPath } from './search-path.ts';

export interface AnalysedText {
  readonly facts: TextFacts;
  /** True if other literals in the same places would give the same facts. */
  readonly literalsAreFree: boolean;
}

/** Statements whose literals are only values. Elsewhere a literal is often a name, an option or code. */
const LITERALS_ARE_VALUES = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** Parses and analyses a text, whatever it is. Never throws; what cannot be read is opaque. */
export function analyseText(namesBefore: Names, text: string): AnalysedText {
  if (tooDeep(text)) return opaque(text, 'too deep');
  let parsed = namesBefore.parser.parse(text);
  if (parsed.outcome === 'rejected') {
    // As long as the text itself, so that places in it are the same.
    const joined = withoutCommentsInStrings(text);
    const again = joined === null ? parsed : namesBefore.parser.parse(joined);
    if (again.outcome !== 'rejected') parsed = again;
  }
  if (parsed.outcome === 'failed') return opaque(text, 'parser failed');
  if (parsed.outcome === 'rejected') return opaque(text, `unparsed: ${parsed.message}`);
  try {
    const places = new Places(text);
    const statements: StatementFacts[] = [];
    let literalsAreFree = parsed.statements.length === 1;
    let names = namesBefore;
    for (const { stmt, stmt_location: location = 0, stmt_len: bytes = 0 } of parsed.statements) {
      const start = places.at(location);
      const analysed = analyseStatement(stmt, start, bytes === 0 ? text.length : places.at(location + bytes), names);
      statements.push(analysed.facts);
      if (changesSearchPath(analysed.facts)) names = names.withoutPath();
      for (const type in stmt) literalsAreFree &&= analysed.literalsAreFree && LITERALS_ARE_VALUES.has(type);
    }
    return { facts: { statements }, literalsAreFree };
  } catch (error) {
    if (error instanceof TooComplex) return opaque(text, 'too complex');
    // A tree deeper than our own stack. The text was read, but nothing is known about it.
    return opaque(text, 'too deep');
  }
}

function opaque(text: string, why: string): AnalysedText {
  return { facts: opaqueText(text.length, why), literalsAreFree: false };
}

/** From byte places in UTF-8, ascending, to places in the string. */
class Places {
  readonly #text: string;
  readonly #isAscii: boolean;
  #bytes = 0;
  #units = 0;

  constructor(text: string) {
    this.#text = text;
    this.#isAscii = Buffer.byteLength(text) === text.length;
  }

  at(bytes: number): number {
    if (this.#isAscii) return bytes;
    while (this.#bytes < bytes) {
      const code = this.#text.codePointAt(this.#units)!;
      this.#units += code > 0xffff ? 2 : 1;
      this.#bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code > 0xffff ? 4 : 3;
    }
    return this.#units;
  }
}
