/**
 * What a client says about a statement in a comment at its end, in the form of sqlcommenter
 * (https://google.github.io/sqlcommenter/spec/): `SELECT 1 /*action='read',traceparent='00-...'*\/`. Keys and values are
 * URL-encoded. Anyone can write anything there: it is claimed, not verified.
 *
 * @returns `null` if there is no such comment
 */
export function claimsInComment(text: string): ReadonlyMap<string, string> | null {
  const end = text.lastIndexOf('*/');
  if (end === -1 || /[^\s;]/.test(text.slice(end + 2))) return null;
  const begin = text.lastIndexOf('/*', end);
  if (begin === -1) return null;
  const claims = new Map<string, string>();
  for (const pair of text.slice(begin + 2, end).split(',')) {
    const match = /^\s*([^=\s']+)='((?:[^'\\]|\\.)*)'\s*$/.exec(pair);
    if (match === null) return null;
    try {
      claims.set(decodeURIComponent(match[1]!), decodeURIComponent(match[2]!.replaceAll("\\'", "'")));
    } catch {
      return null;
    }
  }
  return claims;
}

/** The text without a comment of that kind, and without white space and semicolons at its ends: what it says is the same. */
export function withoutClaims(text: string): string {
  const claims = claimsInComment(text);
  const bare = claims === null ? text : text.slice(0, text.lastIndexOf('/*', text.lastIndexOf('*/')));
  return bare.replace(/^\s+|[\s;]+$/g, '');
}
