import { z } from 'zod';
import { identitySchema, isoTimeOrNull, shown, time } from '../schemas.ts';
import { type ApiServer, callerOf } from '../services.ts';

export function addMeRoutes(api: ApiServer): void {
  api.route({
    method: 'GET',
    url: '/me',
    config: { audience: 'anyone' },
    schema: {
      summary: 'Who you are, and what you may do here.',
      tags: ['identity'],
      response: {
        200: z.object({
          identity: identitySchema,
          roles: z.array(z.enum(['viewer', 'approver', 'auditor', 'admin'])),
          expires: time.nullable().describe('When your login ends.'),
        }),
      },
    },
    handler: (request) => {
      const { authenticated, roles } = callerOf(request);
      return {
        identity: shown(authenticated.identity),
        roles: [...roles],
        expires: isoTimeOrNull(authenticated.expiresAt),
      };
    },
  });
}
