import type { Word } from '../changed-rows.ts';
import { lex } from './lexer.ts';
import type { MysqlLexingState, MysqlServer } from './server.ts';

/** The words, variables and parameters of a text; `null` if it cannot be read. */
export function wordsOf(text: string, server: MysqlServer, state: MysqlLexingState): Word[] | null {
  const lexed = lex(text, server, state);
  if (lexed.outcome === 'rejected') return null;
  const words: Word[] = [];
  let depth = 0;
  for (const { type, keyword, value, start, end } of lexed.tokens) {
    if (type === 'parameter') words.push({ keyword: '?', start, end, depth });
    else if (text[start] === '@') words.push({ keyword: text.slice(start, end).toUpperCase(), start, end, depth });
    else if (type === 'word') words.push({ keyword, start, end, depth });
    else if (type === 'operator') {
      if (value === ')') depth--;
      words.push({ keyword: value, start, end, depth });
      if (value === '(') depth++;
    }
  }
  return words;
}

/** The text with values in the places of `?`, in a form that every sql_mode reads in the same way. */
export function withValues(text: string, words: readonly Word[], values: readonly (string | null)[]): string {
  let out = '';
  let at = 0;
  let n = 0;
  for (const { keyword, start, end } of words) {
    if (keyword !== '?') continue;
    const value = values[n++] ?? null;
    const hex = value === null ? '' : Buffer.from(value, 'utf8').toString('hex');
    out += text.slice(at, start) + (value === null ? 'NULL' : `CONVERT(x'${hex}' USING utf8mb4)`);
    at = end;
  }
  return out + text.slice(at);
}
