import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt } from 'jose';
import Provider from 'oidc-provider';

/** A running OpenID provider that is this process's own. */
export interface OidcProvider {
  readonly issuer: string;
  /** A confidential client, an agent's. */
  readonly client: { readonly id: string; readonly secret: string };
  /** A public client by which people log in, as anybody and with any password. */
  readonly publicClient: string;
  /** What access tokens for Sluice are asked for. */
  readonly resource: string;
  /** How long the tokens live that are given from now on, seconds. */
  lifetime: number;
  /** A fresh access token, by the client credentials grant: a JWT for the audience `sluice`, whose subject is `runner`. */
  token(lifetimeSeconds: number): Promise<string>;
  stop(): void;
}

const CLIENT = { id: 'runner', secret: 'of the test' };
const RESOURCE = 'urn:sluice';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** Starts a real provider on a free port of 127.0.0.1. */
export async function startOidcProvider(): Promise<OidcProvider> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let lifetime = 60;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'sluice-cli',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/'],
        grant_types: [
          'authorization_code',
          'refresh_token',
          'urn:ietf:params:oauth:grant-type:device_code',
          TOKEN_EXCHANGE,
        ],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: 'sluice',
          accessTokenTTL: lifetime,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_, token) => {
      const isAgent = !('accountId' in token);
      return isAgent ? { groups: ['agents'], owner: 'alice' } : { groups: ['dba'], kind: 'human' };
    },
  });
  // The provider has no token exchange (RFC 8693) of its own: here anybody's JWT is good for a token of its subject.
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    async (context) => {
      const { subject_token: subjectToken } = context.oidc.params as unknown as { subject_token: string };
      const accountId = String(decodeJwt(subjectToken).sub);
      const client = context.oidc.client!;
      const token = new provider.AccessToken({ accountId, client, scope: '', gty: 'token exchange' } as never);
      token.resourceServer = new provider.ResourceServer(RESOURCE, {
        scope: '',
        audience: 'sluice',
        accessTokenTTL: lifetime,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      } as never);
      context.body = { access_token: await token.save(), expires_in: lifetime, token_type: 'Bearer' };
    },
    ['subject_token', 'subject_token_type', 'audience', 'resource'],
  );
  server.on('request', provider.callback());
  return {
    issuer,
    client: CLIENT,
    publicClient: 'sluice-cli',
    resource: RESOURCE,
    get lifetime() {
      return lifetime;
    },
    set lifetime(seconds) {
      lifetime = seconds;
    },
    async token(lifetimeSeconds) {
      lifetime = lifetimeSeconds;
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${CLIENT.id}:${encodeURIComponent(CLIENT.secret)}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: RESOURCE }),
      });
      const { access_token: token } = (await response.json()) as { access_token?: string };
      if (token === undefined) throw new Error(`the provider gives no token: ${response.status}`);
      return token;
    },
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
