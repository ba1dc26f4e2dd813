/**
 * Strings that go on behind a comment. `'a' -- b`, a new line and `'c'` is the one string `'ac'` to PostgreSQL 13 to 15, and
 * an error to the grammar we read with. For a text that grammar rejects, this gives the same text with spaces in the place
 * of such comments, which every version reads as 15 reads the original. It is `null` where there is nothing to replace, or
 * where it could not be told with certainty what is a string and what is a comment: only texts are read in which plain
 * strings and comments are all there is to know. Under `standard_conforming_strings = on`, or without backslashes.
 */
export function withoutCommentsInStrings(text: string): string | null {
  // Escapes, other quotes, and characters that may be spaces or parts of words.
  if (/["$\\]|[^\t\n\r\x20-\x7e]/.test(text)) return null;
  let result = '';
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    if (text.startsWith('--', at)) {
      at = afterLine(text, at);
    } else if (text.startsWith('/*', at)) {
      at = afterComment(text, at);
    } else if (text[at] === "'") {
      // E'', U&'' and the like have rules of their own.
      if (at > 0 && /[\w&]/.test(text[at - 1]!)) return null;
      at = text.indexOf("'", at + 1) + 1;
      if (at === 0) return null;
      // A doubled quote is the start of the next round.
      const gap = /^[\t\n\r ]*(?:--[^\n\r]*[\n\r][\t\n\r ]*)+(?=')/.exec(text.slice(at));
      if (gap === null) continue;
      result += text.slice(copied, at) + gap[0].replace(/--[^\n\r]*/g, (comment) => ' '.repeat(comment.length));
      at += gap[0].length;
      copied = at;
      // What follows is the rest of the string, whose quote has white space before it.
    } else at += 1;
  }
  return copied === 0 ? null : result + text.slice(copied);
}

/** The place after a comment and those in it. */
function afterComment(text: string, at: number): number {
  let depth = 1;
  let end = at + 2;
  while (end < text.length && depth > 0) {
    const pair = text.slice(end, end + 2);
    if (pair === '/*') depth += 1;
    else if (pair === '*/') depth -= 1;
    end += pair === '/*' || pair === '*/' ? 2 : 1;
  }
  return end;
}

function afterLine(text: string, at: number): number {
  let end = at;
  while (end < text.length && text[end] !== '\n' && text[end] !== '\r') end += 1;
  return end;
}
