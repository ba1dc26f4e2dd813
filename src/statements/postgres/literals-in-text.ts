import type { LiteralInText } from '../literals.ts';

/** At the beginning of each token that is a literal, or may hold what looks like one; everything else is passed over. */
const TOKEN =
  /--[^\n\r]*|\/\*|"(?:[^"]|"")*"?|[eE]'(?:[^'\\]|''|\\[\s\S])*'?|(?:[nN]|[bB]|[xX]|[uU]&)?'(?:[^']|'')*'?|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|\$\d+|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?\w*/g;

/**
 * The literals of a text, in order, as the server's scanner would find them under `standard_conforming_strings = on`.
 * For records and comparisons only: what is wrong here decides about no statement. A literal without an end goes to the
 * end of the text.
 */
export function literalsInText(text: string): LiteralInText[] {
  const literals: LiteralInText[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const token = match[0];
    const start = match.index;
    let end = TOKEN.lastIndex;
    if (token === '/*') TOKEN.lastIndex = endOfComment(text, end);
    else if (token.startsWith('--') || token.startsWith('"') || /^\$\d/.test(token)) continue;
    else if (token.startsWith('$')) {
      const close = text.indexOf(token, end);
      const value = text.slice(end, close < 0 ? text.length : close);
      end = close < 0 ? text.length : close + token.length;
      literals.push({ start, end, value });
      TOKEN.lastIndex = end;
    } else if (token.includes("'")) literals.push({ start, end, value: stringValue(token) });
    else if (/^[.\d]/.test(token)) literals.push({ start, end, value: token });
  }
  return literals;
}

/** Comments nest. */
function endOfComment(text: string, from: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  for (let depth = 1; depth > 0; ) {
    const found = mark.exec(text);
    if (found === null) return text.length;
    depth += found[0] === '/*' ? 1 : -1;
  }
  return mark.lastIndex;
}

function stringValue(token: string): string {
  const from = token.indexOf("'") + 1;
  const inner = token.slice(from, token.length > from && token.endsWith("'") ? -1 : undefined).replaceAll("''", "'");
  return /^[eE]/.test(token) ? inner.replace(/\\([\s\S])/g, '$1') : inner;
}
