import { hash } from 'node:crypto';
import type { Token } from './lexer.ts';
import { isReserved } from './reserved-words.ts';

/** Statements whose name is made up afresh for each use: the word before it. */
const MADE_UP_NAMES = new Set(['PREPARE', 'EXECUTE', 'SAVEPOINT']);

/**
 * A hash that is equal for statements that differ only in literals, parameters, the lengths of literal lists, letter case
 * of keywords and functions, comments and white space. Names keep their case: tables can differ by it. SHA-256, because an
 * allow-list by fingerprint must not be open to made-up collisions. 16 hex digits.
 */
export function fingerprint(tokens: readonly Token[]): string {
  const parts: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const { type, keyword, value } = tokens[at]!;
    if (type === 'end') break;
    if (type === 'string' || type === 'number' || type === 'bits' || type === 'parameter' || type === 'introducer') {
      addLiteral(parts);
    } else if (type === 'operator') addOperator(parts, value);
    else if (type === 'variable') parts.push(`@${value.toLowerCase()}`);
    else if (type === 'word' && MADE_UP_NAMES.has(tokens[at - 1]?.keyword ?? '')) parts.push('name');
    else parts.push(isFolded(keyword, tokens[at + 1]) ? keyword : `"${value}"`);
  }
  return hash('sha256', parts.map((part) => `${part.length}:${part}`).join(''), 'hex').slice(0, 16);
}

/** Reserved words, and what is called. */
function isFolded(keyword: string, next: Token | undefined): boolean {
  if (keyword === '') return false;
  return (
    isReserved(keyword, 'mysql') || isReserved(keyword, 'mariadb') || (next?.type === 'operator' && next.value === '(')
  );
}

/** `?`; in a list of them only one: `1, 2, 3` is `?`, adjacent strings are one. */
function addLiteral(parts: string[]): void {
  if (parts.at(-1) === '-' && (parts.length < 2 || SIGN_FOLLOWS.has(parts.at(-2)!))) parts.pop();
  if (parts.at(-1) === ',' && parts.at(-2) === '?') parts.pop();
  else if (parts.at(-1) !== '?') parts.push('?');
}

/** After these a minus is a sign. */
const SIGN_FOLLOWS = new Set([
  '(',
  ',',
  '=',
  '<',
  '>',
  '<=',
  '>=',
  '<>',
  '!=',
  '<=>',
  ':=',
  'LIMIT',
  'VALUES',
  'SELECT',
  'BETWEEN',
  'AND',
  'OR',
]);

function addOperator(parts: string[], value: string): void {
  parts.push(value);
  // (?), (?) is (?): the rows of VALUES.
  const length = parts.length;
  if (value !== ')' || length < 7) return;
  const [first, , third, comma, ...again] = parts.slice(-7);
  const repeats = first === '(' && third === ')' && comma === ',' && again.join(' ') === `( ${parts[length - 6]} )`;
  if (repeats) parts.splice(-4);
}
