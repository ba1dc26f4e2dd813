import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import { isLoopback } from '../config/address.ts';
import { loginByBrowser } from './browser-login.ts';
import { CommandFailure, EXIT } from './failure.ts';
import type { Provider, SavedLogin } from './saved-logins.ts';
import { printable } from './terminal.ts';

/** How somebody, or something, gets a token. */
export type Flow =
  | { readonly by: 'browser'; readonly opens: boolean }
  | { readonly by: 'device' }
  | { readonly by: 'client credentials'; readonly client: string; readonly secret: string }
  | { readonly by: 'token exchange'; readonly token: string };

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

/** @throws CommandFailure */
export async function loginAt(provider: Provider, flow: Flow): Promise<SavedLogin> {
  try {
    const tokens = await tokensBy(flow, provider);
    return loginOf(tokens, provider);
  } catch (error) {
    throw failureOf(error, provider.issuer);
  }
}

/**
 * A login whose token is over, anew.
 * @throws CommandFailure
 */
export async function refreshLogin({ provider, token }: NonNullable<SavedLogin['refresh']>): Promise<SavedLogin> {
  try {
    const config = await discover(provider, provider.client!, oidc.None());
    const tokens = await oidc.refreshTokenGrant(config, token, resourceOf(provider));
    return loginOf(tokens, provider, tokens.refresh_token ?? token);
  } catch (error) {
    throw failureOf(error, provider.issuer);
  }
}

/** Has the provider forget a login. It may have done so before. */
export async function revokeLogin({ provider, token }: NonNullable<SavedLogin['refresh']>): Promise<void> {
  const config = await discover(provider, provider.client!, oidc.None());
  if (config.serverMetadata().revocation_endpoint !== undefined) await oidc.tokenRevocation(config, token);
}

async function tokensBy(flow: Flow, provider: Provider): Promise<oidc.TokenEndpointResponse> {
  const resource = resourceOf(provider);
  const scope = provider.scopes.join(' ');
  if (flow.by === 'client credentials') {
    const config = await discover(provider, flow.client, secretAuthentication(flow.secret));
    return oidc.clientCredentialsGrant(config, resource);
  }
  if (provider.client === null) {
    throw new CommandFailure(EXIT.problem, `People do not log in at ${provider.issuer}: it has no client for that.`);
  }
  const config = await discover(provider, provider.client, oidc.None());
  switch (flow.by) {
    case 'device': {
      const asked = await oidc.initiateDeviceAuthorization(config, { scope, ...resource });
      console.error(
        `Open ${printable(asked.verification_uri)} on any device and enter the code ${printable(asked.user_code)}`,
      );
      return oidc.pollDeviceAuthorizationGrant(config, asked, resource);
    }
    case 'token exchange':
      return oidc.genericGrantRequest(config, TOKEN_EXCHANGE, {
        ...{ subject_token: flow.token, subject_token_type: JWT_TYPE },
        ...{ audience: provider.audience[0]!, ...resource },
      });
    case 'browser': {
      const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
      const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()];
      const challenge = await oidc.calculatePKCECodeChallenge(pkceCodeVerifier);
      const ended = await loginByBrowser(
        expectedState,
        (redirect) => {
          const parameters = {
            ...{ redirect_uri: redirect, scope, state: expectedState, nonce: expectedNonce, ...resource },
            ...{ code_challenge: challenge, code_challenge_method: 'S256' },
            // OpenID Connect Core, 11: without it there is no refresh token.
            ...(provider.scopes.includes('offline_access') && { prompt: 'consent' }),
          };
          return oidc.buildAuthorizationUrl(config, parameters).href;
        },
        flow.opens,
      );
      const checks = { pkceCodeVerifier, expectedState, expectedNonce };
      return oidc.authorizationCodeGrant(config, ended, checks, resource);
    }
  }
}

function discover(provider: Provider, client: string, authentication: oidc.ClientAuth): Promise<oidc.Configuration> {
  const issuer = new URL(provider.issuer);
  // Sluice accepts such an issuer on its own machine only.
  const isHere = issuer.protocol === 'http:' && isLoopback(issuer.hostname.replace(/^\[|\]$/g, ''));
  return oidc.discovery(issuer, client, undefined, authentication, {
    ...(isHere && { execute: [oidc.allowInsecureRequests] }),
  });
}

/** As the provider likes it (OpenID Connect Discovery: without a word of its own, Basic). */
function secretAuthentication(secret: string): oidc.ClientAuth {
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const supported = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    return (supported.includes('client_secret_basic') ? basic : post)(server, ...rest);
  };
}

function resourceOf({ resource }: Provider): Record<string, string> {
  return resource === null ? {} : { resource };
}

/** The one of the tokens that is for Sluice. */
function loginOf(
  { access_token: access, id_token: id, refresh_token }: oidc.TokenEndpointResponse,
  provider: Provider,
  refresh = refresh_token,
): SavedLogin {
  const token = [access, id].find((text) => text !== undefined && isFor(text, provider.audience));
  if (token === undefined) {
    const audience = provider.audience.map((name) => JSON.stringify(name)).join(' or ');
    throw new CommandFailure(
      EXIT.problem,
      `${provider.issuer} gives no token for the audience ${audience}: whoever runs Sluice has to set \`login.resource\`, or add the client to \`audience\`.`,
    );
  }
  const { exp } = decodeJwt(token);
  return {
    token,
    expiresAt: exp === undefined ? null : exp * 1000,
    ...(refresh !== undefined && provider.client !== null && { refresh: { provider, token: refresh } }),
  };
}

function isFor(token: string, audience: readonly string[]): boolean {
  try {
    return [decodeJwt(token).aud ?? []].flat().some((name) => audience.includes(name));
  } catch {
    return false; // an access token that only the provider can read
  }
}

function failureOf(error: unknown, issuer: string): CommandFailure {
  if (error instanceof CommandFailure) return error;
  const { message, cause } = error as Error;
  if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
    const said = error.error_description ?? error.error;
    return new CommandFailure(EXIT.problem, `${issuer} refuses the login: ${printable(said)}`);
  }
  if (error instanceof oidc.WWWAuthenticateChallengeError) {
    return new CommandFailure(
      EXIT.problem,
      `${issuer} refuses the login: it does not accept the client or its secret.`,
    );
  }
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return new CommandFailure(EXIT.unreachable, `No login at ${issuer}: ${printable(code ?? message)}`);
}
