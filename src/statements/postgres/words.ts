import type { Word } from '../changed-rows.ts';
import { literalsInText } from './literals-in-text.ts';

/** Names, comments and parentheses of a text whose literals are blanked. */
const TOKEN = /--[^\n\r]*|\/\*|"(?:[^"]|"")*"?|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\$\d+|[(),;]/g;

/**
 * The words and parameters of a text, without what is in literals, quoted names and comments. For what is shown to people;
 * the parser decides about statements.
 */
export function wordsOf(text: string): Word[] {
  let blanked = text;
  for (const { start, end } of literalsInText(text)) {
    blanked = blanked.slice(0, start) + ' '.repeat(end - start) + blanked.slice(end);
  }
  const words: Word[] = [];
  let depth = 0;
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(blanked); match !== null; match = TOKEN.exec(blanked)) {
    const [token] = match;
    if (token === '/*') {
      const close = blanked.indexOf('*/', TOKEN.lastIndex);
      if (close === -1) break;
      TOKEN.lastIndex = close + 2;
      continue;
    }
    if (token.startsWith('--') || token.startsWith('"')) continue;
    if (token === ')') depth--;
    words.push({ keyword: token.toUpperCase(), start: match.index, end: TOKEN.lastIndex, depth });
    if (token === '(') depth++;
  }
  return words;
}

/** The text with values in the places of `$1`, `$2`, ...; every one a literal of no declared type, as parameters are. */
export function withValues(text: string, values: readonly (string | null)[]): string {
  let out = '';
  let at = 0;
  for (const { keyword, start, end } of wordsOf(text)) {
    if (!keyword.startsWith('$')) continue;
    const value = values[Number(keyword.slice(1)) - 1] ?? null;
    out += text.slice(at, start) + (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`);
    at = end;
  }
  return out + text.slice(at);
}
