import { randomBytes } from 'node:crypto';
import { startSluice } from '../sluice.ts';
import type { Suite, Target } from './suite.ts';

/**
 * Starts a Sluice that allows everything in front of `direct`, with one connection for each database, of its name. Its
 * user has the upstream user's name, so that `current_user` is the same either way.
 */
export async function startSluiceTarget(
  direct: Target,
  { protocol, databases, mysqlPlugin }: Suite,
): Promise<{ readonly target: Target; stop(): Promise<void> }> {
  const { host, port, user } = direct;
  const password = randomBytes(12).toString('base64url');
  const sluice = await startSluice({
    connections: databases.map((database) => ({
      name: database,
      protocol,
      // A server that trusts everybody never asks for the password.
      upstream: { host, port, database, user, password: direct.password ?? 'unused' },
      default: 'allow',
    })),
    users: [{ name: user, password, mysqlPlugin }],
  });
  return {
    target: {
      name: 'sluice',
      host: sluice.host,
      port: protocol === 'postgres' ? sluice.port : sluice.mysqlPort,
      user,
      password,
    },
    stop: () => sluice.stop(),
  };
}
