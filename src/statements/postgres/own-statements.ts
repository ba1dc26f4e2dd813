import type { OwnStatement } from '../own-statement.ts';

/**
 * `EXPLAIN (SLUICE) statement`, at the beginning of a text. The statement is whatever follows, also what the grammar does not let
 * EXPLAIN take; so this is read before the text is parsed. Nothing before it can be a string, so it reads the same however
 * strings do.
 *
 * @returns where the statement begins; `null` for every other text
 */
export function explainedFrom(text: string): number | null {
  let at = afterSpace(text, 0);
  for (const token of TOKENS) {
    token.lastIndex = at;
    if (!token.test(text)) return null;
    at = afterSpace(text, token.lastIndex);
  }
  return at === text.length ? null : at;
}

const TOKENS = [
  /explain(?![\w$\u0080-\uffff])/iy,
  /\(/y,
  /[sS][lL][uU][iI][cC][eE](?![\w$\u0080-\uffff])|"sluice"/y,
  /\)/y,
];
const SPACE = /[ \t\n\r\f\v]+|--[^\n\r]*/y;

/** Behind white space and comments, which nest. A comment without an end is none. */
function afterSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    SPACE.lastIndex = at;
    if (SPACE.test(text)) {
      at = SPACE.lastIndex;
      continue;
    }
    if (!text.startsWith('/*', at)) return at;
    const end = commentEnd(text, at);
    if (end === null) return at;
    at = end;
  }
}

function commentEnd(text: string, from: number): number | null {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  let depth = 0;
  for (let match = mark.exec(text); match !== null; match = mark.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return null;
}

const SHOWN: Readonly<Record<string, OwnStatement>> = {
  'sluice.requests': { asks: 'requests' },
  'sluice.session': { asks: 'session' },
};

/** What a SHOW of this name asks of Sluice. @param name in lower case, as the server compares names of settings */
export function ownShow(name: string): OwnStatement | null {
  return Object.hasOwn(SHOWN, name) ? SHOWN[name]! : null;
}
