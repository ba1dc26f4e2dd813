import { z } from 'zod';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';

/** How one logs in here, and out again. */
export function addLoginRoutes(api: ApiServer, { config, saml, logins, record }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/login',
    config: { audience: 'public' },
    schema: {
      summary: 'Where to log in: OpenID providers whose tokens are accepted, and whether there is SAML.',
      tags: ['login'],
      response: {
        200: z.object({
          providers: z.array(
            z.object({
              issuer: z.string(),
              audience: z.array(z.string()).describe('What tokens have to be for; one of them.'),
              client: z.string().nullable().describe('The public client that people log in by; null if there is none.'),
              scopes: z.array(z.string()),
              resource: z.string().nullable().describe('What to ask the access token for.'),
            }),
          ),
          saml: z.boolean(),
        }),
      },
    },
    handler: () => ({
      providers: config.oidc.map(({ issuer, audience, login }) => ({
        issuer,
        audience: [...audience],
        client: login?.clientId ?? null,
        scopes: [...(login?.scopes ?? [])],
        resource: login?.resource ?? null,
      })),
      saml: saml !== null,
    }),
  });

  api.route({
    method: 'POST',
    url: '/logout',
    config: { audience: 'anyone' },
    schema: {
      summary: 'Ends the login whose token this is, and the credentials that were made in it.',
      tags: ['login'],
      response: { 200: z.object({ ended: z.boolean().describe('False for a token that is not of Sluice itself.') }) },
    },
    handler: async (request) => {
      const { login, authenticated } = callerOf(request);
      if (login === null) return { ended: false };
      await logins.end(login);
      record('login.ended', { login, identity: authenticated.identity, client: { address: request.ip } });
      return { ended: true };
    },
  });
}
