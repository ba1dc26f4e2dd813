import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

/** A running OpenID provider that is this process's own. */
export interface OidcProvider {
  readonly issuer: string;
  /** A fresh access token, by the client credentials grant: a JWT for the audience `sluice`, whose subject is `runner`. */
  token(lifetimeSeconds: number): Promise<string>;
  stop(): void;
}

const CLIENT = { id: 'runner', secret: 'of the test' };
const RESOURCE = 'urn:sluice';

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
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
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
    extraTokenClaims: () => ({ groups: ['agents'], owner: 'alice' }),
  });
  server.on('request', provider.callback());
  return {
    issuer,
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
