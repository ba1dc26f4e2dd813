import { z } from 'zod';
import { ApiError } from '../api-error.ts';
import type { ApiServer, ApiServices } from '../services.ts';

export function addReloadRoutes(api: ApiServer, { reload }: ApiServices): void {
  api.route({
    method: 'POST',
    url: '/reload',
    config: { audience: 'admin' },
    schema: {
      summary: 'Reads the rules again and puts them in force, all of them or none.',
      tags: ['rules'],
      response: { 200: z.object({ reloaded: z.literal(true) }) },
    },
    handler: async () => {
      const failure = await reload();
      if (failure !== null) throw new ApiError(409, 'rules_invalid', failure);
      return { reloaded: true as const };
    },
  });
}
