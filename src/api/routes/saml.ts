import { z } from 'zod';
import { type SamlLogins, SamlRefused } from '../../identity/saml-logins.ts';
import { ApiError } from '../api-error.ts';
import { identitySchema, isoTime, shown, time } from '../schemas.ts';
import type { ApiServer, ApiServices } from '../services.ts';

/** 256 bits or more in base64url. */
const secret = z.string().regex(/^[A-Za-z0-9_-]{43,128}$/, 'must be 43 to 128 characters of base64url');

const loopbackAddress = z
  .string()
  .max(200)
  .refine((text) => {
    const url = URL.parse(text);
    // By address: what a name means can be changed (RFC 8252, 8.3).
    return url?.protocol === 'http:' && ['127.0.0.1', '[::1]'].includes(url.hostname) && url.username === '';
  }, 'must be http://127.0.0.1:PORT/... or http://[::1]:PORT/...');

/** Logins by SAML: see SamlLogins. */
export function addSamlRoutes(api: ApiServer, saml: SamlLogins, { record, lastLogins }: ApiServices): void {
  const refuse = (error: unknown, address: string): never => {
    if (!(error instanceof SamlRefused)) throw error;
    record('auth.failed', { user: null, via: 'saml', client: { address }, reason: `SAML: ${error.message}` });
    throw new ApiError(403, 'login_refused', 'The login is not accepted. Log in again.');
  };

  api.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(body as string)));
  });

  api.route({
    method: 'GET',
    url: '/login/saml/metadata',
    config: { audience: 'public' },
    schema: {
      summary: 'What the identity provider is configured with.',
      tags: ['login'],
      produces: ['application/xml'],
    },
    handler: (_, reply) => reply.type('application/samlmetadata+xml').send(saml.metadata()),
  });

  api.route({
    method: 'GET',
    url: '/login/saml',
    config: { audience: 'public' },
    schema: {
      summary: 'Sends the browser to the identity provider.',
      tags: ['login'],
      querystring: z.object({
        redirect: loopbackAddress.describe('Where the browser brings the code, and the state, in the end.'),
        state: secret.describe('Comes back with the code.'),
        challenge: secret.describe('SHA-256, in base64url, of the verifier that comes with the code.'),
      }),
    },
    handler: async (request, reply) => reply.redirect(await saml.begin(request.query), 303),
  });

  api.route({
    method: 'POST',
    url: '/login/saml/acs',
    config: { audience: 'public' },
    schema: {
      summary: "Takes the identity provider's response (HTTP-POST binding).",
      tags: ['login'],
      consumes: ['application/x-www-form-urlencoded'],
      body: z.object({
        SAMLResponse: z
          .string()
          .transform((text) => text.replace(/\s+/g, ''))
          .describe('In base64; in lines, from some providers.'),
      }),
    },
    handler: async (request, reply) => {
      const { next } = await saml.finish(request.body.SAMLResponse).catch((error) => refuse(error, request.ip));
      return reply.redirect(next, 303);
    },
  });

  api.route({
    method: 'POST',
    url: '/login/saml/token',
    config: { audience: 'public' },
    schema: {
      summary: 'Turns the code that the browser brought into a token, once.',
      tags: ['login'],
      body: z.object({ code: secret, verifier: secret }),
      response: { 200: z.object({ token: z.string(), identity: identitySchema, expires: time }) },
    },
    handler: async (request) => {
      const { code, verifier } = request.body;
      const { id, token, authenticated } = await saml
        .redeem(code, verifier)
        .catch((error) => refuse(error, request.ip));
      const { identity, expiresAt } = authenticated;
      await lastLogins.note(identity);
      record('login.created', { login: id, identity, via: 'saml', client: { address: request.ip } });
      return { token, identity: shown(identity), expires: isoTime(expiresAt!) };
    },
  });
}
