import { hash, randomBytes } from 'node:crypto';
import type { ApiClient } from './api-client.ts';
import { loginByBrowser } from './browser-login.ts';
import type { SavedLogin } from './saved-logins.ts';

/** @throws CommandFailure */
export async function loginBySaml(client: ApiClient, opens: boolean): Promise<SavedLogin> {
  const [verifier, state] = [secret(), secret()];
  const challenge = hash('sha256', verifier, 'base64url');
  const ended = await loginByBrowser(
    state,
    (redirect) => {
      const query = new URLSearchParams({ redirect, state, challenge });
      return `${client.origin}/api/v1/login/saml?${query}`;
    },
    opens,
  );
  const code = ended.searchParams.get('code');
  const { token, expires } = await client.post<{ token: string; expires: string }>('/login/saml/token', {
    code,
    verifier,
  });
  return { token, expiresAt: Date.parse(expires) };
}

function secret(): string {
  return randomBytes(32).toString('base64url');
}
