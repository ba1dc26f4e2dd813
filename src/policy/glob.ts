/** A pattern in which `*` stands for any run of characters, none included. Everything else stands for itself. */
export interface Glob {
  matches(text: string): boolean;
  /** True for `*`: it matches whatever the text is. */
  readonly matchesAll: boolean;
}

/**
 * Compiles a glob. Not to a regular expression: several `*` would make one backtrack over names an attacker chose. This
 * takes time proportional to the lengths of pattern and text.
 */
export function compileGlob(pattern: string): Glob {
  const pieces = pattern.split('*');
  if (pieces.length === 1) return { matches: (text) => text === pattern, matchesAll: false };
  const first = pieces[0]!;
  const last = pieces.at(-1)!;
  const middle = pieces.slice(1, -1).filter((piece) => piece !== '');
  return {
    matches: (text) => {
      if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
      let from = first.length;
      const to = text.length - last.length;
      for (const piece of middle) {
        const found = text.indexOf(piece, from);
        if (found < 0 || found + piece.length > to) return false;
        from = found + piece.length;
      }
      return true;
    },
    matchesAll: first === '' && last === '' && middle.length === 0,
  };
}

/** True if any of the patterns matches; the empty list matches nothing. */
export function anyMatches(globs: readonly Glob[], text: string): boolean {
  return globs.some((glob) => glob.matches(text));
}
