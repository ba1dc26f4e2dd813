import { readLogin, type SavedLogin, saveLogin, withLock } from './saved-logins.ts';

/** A token that ends while it is on its way is of no use, milliseconds. */
const AHEAD_MS = 30_000;

/**
 * The token of the login at an API, anew from its provider if it is over; `null` if there is no login that holds.
 * @throws CommandFailure if the provider does not give a new one
 */
export async function currentToken(origin: string): Promise<string | null> {
  const login = await readLogin(origin);
  if (login === null || holds(login)) return login?.token ?? null;
  // Two commands at once must not both use a refresh token: the second would look like a thief (RFC 9700, 4.14.2).
  return withLock(async () => {
    const latest = await readLogin(origin);
    if (latest === null || holds(latest)) return latest?.token ?? null;
    if (latest.refresh === undefined) return null;
    const { refreshLogin } = await import('./oidc-login.ts');
    const renewed = await refreshLogin(latest.refresh);
    await saveLogin(origin, renewed);
    return renewed.token;
  });
}

function holds({ expiresAt, refresh }: SavedLogin): boolean {
  return expiresAt === null || expiresAt > Date.now() + (refresh === undefined ? 0 : AHEAD_MS);
}
