import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from './certificates.ts';
import { access, type PostgresOptions, type PostgresServer, THROWAWAY } from './postgres.ts';

/** True if a Docker engine answers a ping on its Unix socket (`DOCKER_HOST` or the usual path) within two seconds. */
export function dockerAnswers(): Promise<boolean> {
  const socketPath = (process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy());
    ping.on('error', () => resolve(false));
    ping.end();
  });
}

/** Starts the official image of the version (default 15). testcontainers removes it when this process ends. */
export async function startPostgresContainer(options: PostgresOptions): Promise<PostgresServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const password = randomBytes(12).toString('base64url');
  const directory = mkdtempSync(join(tmpdir(), 'sluice-postgres-'));
  const certificates = options.ssl ? makeCertificates(directory) : null;
  const tls = certificates && { ssl: 'on', ssl_cert_file: '/tls/server.crt', ssl_key_file: '/tls/server.key' };
  const settings = Object.entries({ ...THROWAWAY, ...tls, ...options.config }).flatMap(([k, v]) => ['-c', `${k}=${v}`]);
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
  const reach = access(started.getMappedPort(5432), 'postgres', password);
  const version = String((await reach.query('SHOW server_version'))[0]?.server_version).split(' ')[0] ?? '';
  const stop = async () => {
    await started.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  return { ...reach, binDir: null, version, certificates, log: () => log, stop };
}
