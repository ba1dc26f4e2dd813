import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';
import type { PostgresOptions } from './postgres.ts';

/**
 * Starts the official image of `options.version` (default 15) with these settings. The superuser is `postgres`.
 * testcontainers removes the container when this process ends.
 */
export async function startPostgresContainer(options: PostgresOptions, config: Readonly<Record<string, string>>) {
  // Loaded only here: it takes most of a second.
  const { GenericContainer, Wait } = await import('testcontainers');
  const password = randomBytes(12).toString('base64url');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-postgres-'));
  const certificates = options.ssl ? makeCertificates(directory) : null;
  const tls = certificates && { ssl: 'on', ssl_cert_file: '/tls/server.crt', ssl_key_file: '/tls/server.key' };
  const settings = Object.entries({ ...config, ...tls }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const auth = options.auth ?? 'scram-sha-256';
  let log = '';
  let container = new GenericContainer(`postgres:${options.version ?? 15}`)
    .withEnvironment({
      POSTGRES_PASSWORD: password,
      POSTGRES_HOST_AUTH_METHOD: auth,
      POSTGRES_INITDB_ARGS: `-A ${auth} -E UTF8 --no-locale --no-sync`,
    })
    // The key has to belong to the account the server runs under, which only the container knows.
    .withEntrypoint(['sh', '-c', '[ ! -d /tls ] || chown -R postgres /tls; exec docker-entrypoint.sh "$@"', 'sh'])
    .withCommand(['postgres', ...settings])
    .withExposedPorts({ container: 5432, host: 0 })
    .withLogConsumer((stream) => stream.on('data', (chunk) => (log += chunk)))
    // Once for the server that only initialises, once for the one that stays.
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .withStartupTimeout(180_000);
  if (certificates !== null) {
    container = container.withCopyContentToContainer([
      { content: readFileSync(certificates.certificate), target: '/tls/server.crt', mode: 0o644 },
      { content: readFileSync(certificates.key), target: '/tls/server.key', mode: 0o600 },
    ]);
  }
  const started = await container.start();
  const stop = async () => {
    await started.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  return { port: started.getMappedPort(5432), password, certificates, log: () => log, stop };
}
