import type { LiteralInText } from '../literals.ts';
import type { MysqlModes } from './server.ts';

/** At the beginning of each token that is a literal, or may hold what looks like one; everything else is passed over. */
const TOKEN =
  /--(?=[\s\0]|$)[^\n]*|#[^\n]*|\/\*!\d*|\/\*M!\d*|\/\*|`(?:[^`]|``)*`?|(?:[nNbBxX]|_\w+\s*)?['"]|0[xX][\da-fA-F]+|0b[01]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\w*|@?[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*/g;

/**
 * The literals of a text, in order, as the server's lexer would find them. For records and comparisons only: what is wrong here
 * decides about no statement. A literal without an end goes to the end of the text; what is in an executable comment counts.
 *
 * @param modes `null` where it is not known how the text is read: everything in quotes is a literal then
 */
export function literalsInText(text: string, modes: MysqlModes | null): LiteralInText[] {
  const literals: LiteralInText[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const token = match[0];
    const start = match.index;
    const last = token.at(-1);
    if (token === '/*') {
      const close = text.indexOf('*/', start + 2);
      TOKEN.lastIndex = close < 0 ? text.length : close + 2;
    } else if (/^(?:--|#|`)/.test(token)) continue;
    else if (last === "'" || last === '"') {
      const { end, value } = stringIn(text, start + token.length, last, modes?.noBackslashEscapes === true);
      TOKEN.lastIndex = end;
      if (last === '"' && modes?.ansiQuotes === true) continue;
      const isHex = /^x/i.test(token) && /^[\da-f]*$/i.test(value);
      literals.push({ start, end, value: isHex ? textOfHex(value) : value });
    } else if (/^0x/i.test(token)) {
      literals.push({ start, end: TOKEN.lastIndex, value: textOfHex(token.slice(2)) });
    } else if (/^[.\d]/.test(token)) literals.push({ start, end: TOKEN.lastIndex, value: token });
  }
  return literals;
}

function textOfHex(digits: string): string {
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').toString('utf8');
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['0', '\0'],
  ['b', '\b'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['Z', '\x1a'],
]);

/** @param from behind the opening quote */
function stringIn(text: string, from: number, quote: string, isPlain: boolean): { end: number; value: string } {
  let value = '';
  for (let at = from; at < text.length; at++) {
    const character = text[at]!;
    if (character === '\\' && !isPlain) {
      at++;
      const escaped = text[at] ?? '';
      value += ESCAPES.get(escaped) ?? escaped;
    } else if (character !== quote) value += character;
    else if (text[at + 1] === quote) {
      at++;
      value += quote;
    } else return { end: at + 1, value };
  }
  return { end: text.length, value };
}
