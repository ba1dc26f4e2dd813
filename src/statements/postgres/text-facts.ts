import { type ColumnName, type GivenValues, opaqueText, type StatementFacts, type TextFacts } from '../facts.ts';
import { factsOfOwn } from '../own-statement.ts';
import { isTooMuch, MOST_LINEAGE, STEPS_PER_CHARACTER, TooComplex, WorkBudget } from '../work-budget.ts';
import { withoutCommentsInStrings } from './continued-strings.ts';
import { type AnalysedStatement, analyseStatement } from './effects.ts';
import { withoutLikeRows } from './literal-rows.ts';
import { literalsInText } from './literals-in-text.ts';
import type { Names } from './names.ts';
import { tooDeep } from './nesting.ts';
import { explainedFrom } from './own-statements.ts';
import { changesSearchPath } from './search-path.ts';

export interface AnalysedText {
  readonly facts: TextFacts;
  /** True if other literals in the same places would give the same facts. */
  readonly literalsAreFree: boolean;
  /** True if it was too much for the steps or the stack at hand: with more of them it may be understood. */
  readonly isTooMuch: boolean;
}

/** Statements whose literals are only values. Elsewhere a literal is often a name, an option or code. */
const LITERALS_ARE_VALUES = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** UTF-16 code units of a text that is shortened before it is parsed, if it can be. */
const LONG_TEXT = 8 * 1024;
/** UTF-16 code units of what is parsed. */
const LONGEST_PARSED = 1024 * 1024;

/**
 * Parses and analyses a text, whatever it is. Never throws; what cannot be read is opaque.
 *
 * @param steps of work it may cause, besides those its length allows for
 */
export function analyseText(namesBefore: Names, whole: string, steps: number): AnalysedText {
  const own = ownText(whole);
  if (own !== null) return { facts: own, literalsAreFree: false, isTooMuch: false };
  const shortened = whole.length > LONG_TEXT ? withoutLikeRows(whole) : null;
  const text = shortened?.text ?? whole;
  if (text.length > LONGEST_PARSED) return opaque(whole, 'too large');
  if (tooDeep(text)) return opaque(whole, 'too deep');
  let parsed = namesBefore.parser.parse(text);
  if (parsed.outcome === 'rejected') {
    // As long as the text itself, so that places in it are the same.
    const joined = withoutCommentsInStrings(text);
    const again = joined === null ? parsed : namesBefore.parser.parse(joined);
    if (again.outcome !== 'rejected') parsed = again;
  }
  if (parsed.outcome === 'failed') return opaque(whole, 'parser failed');
  if (parsed.outcome === 'rejected') return opaque(whole, `unparsed: ${parsed.message}`);
  try {
    const places = new Places(text);
    const placeAt = (bytes: number) => {
      const at = places.at(bytes);
      return shortened !== null && at >= shortened.rowsEnd ? at + shortened.removed : at;
    };
    const statements: StatementFacts[] = [];
    const budget = new WorkBudget(steps + STEPS_PER_CHARACTER * text.length);
    let literalsAreFree = parsed.statements.length === 1;
    let names = namesBefore;
    for (const { stmt, stmt_location: location = 0, stmt_len: bytes = 0 } of parsed.statements) {
      const start = placeAt(location);
      const end = bytes === 0 ? whole.length : placeAt(location + bytes);
      const analysed = analyseStatement(stmt, start, end, names, budget);
      const given = shortened === null ? givenIn(text, analysed) : undefined;
      statements.push(given === undefined ? analysed.facts : { ...analysed.facts, given });
      if (changesSearchPath(analysed.facts)) names = names.withoutPath();
      for (const type in stmt) literalsAreFree &&= analysed.literalsAreFree && LITERALS_ARE_VALUES.has(type);
    }
    return { facts: { statements }, literalsAreFree, isTooMuch: false };
  } catch (error) {
    // The text was read, but nothing is known about it.
    return { ...opaque(whole, error instanceof TooComplex ? 'too complex' : 'too deep'), isTooMuch: isTooMuch(error) };
  }
}

/** The facts of a text that is an EXPLAIN (SLUICE), however strings are read in it; `null` for every other. */
export function ownText(text: string): TextFacts | null {
  const from = explainedFrom(text);
  return from === null
    ? null
    : { statements: [{ ...factsOfOwn({ asks: 'verdict', from }), start: 0, end: text.length }] };
}

/** What the literals and parameters of a statement meet. Places are in bytes: of a text with others than ASCII nothing is told. */
function givenIn(text: string, { facts, met }: AnalysedStatement): GivenValues | undefined {
  const own = text.slice(facts.start, facts.end);
  if (met.size === 0 || met.size > MOST_LINEAGE || /[^\0-\x7f]/.test(text)) return undefined;
  const literals = literalsInText(own);
  const parameters: (readonly ColumnName[] | null)[] = [];
  // What looks like a parameter in a comment or a name only makes less of it known.
  for (const { 0: mark, index } of own.matchAll(/\$\d+/g)) {
    if (literals.some(({ start, end }) => start <= index && index < end)) continue;
    const number = Number(mark.slice(1));
    if (number > MOST_PARAMETERS) return undefined;
    while (parameters.length < number) parameters.push([]);
    const before = parameters[number - 1]!;
    const columns = met.get(facts.start + index) ?? null;
    parameters[number - 1] = before === null || columns === null ? null : [...before, ...columns];
  }
  return { literals: literals.map(({ start }) => met.get(facts.start + start) ?? null), parameters };
}

/** Of a statement (Bind counts them in an Int16). */
const MOST_PARAMETERS = 65535;

function opaque(text: string, why: string): AnalysedText {
  return { facts: opaqueText(text.length, why), literalsAreFree: false, isTooMuch: false };
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
