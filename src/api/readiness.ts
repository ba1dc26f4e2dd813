import { connect } from 'node:net';
import type { CatalogueStatus } from '../catalog/keeper.ts';
import type { Config, ConnectionConfig, UpstreamConfig } from '../config/config.ts';
import { askServer } from '../gateway/mysql/upstream.ts';
import type { RecordingStatus } from '../recording/recording-thread.ts';

/** One thing that must be in order for statements to be served. */
export interface ReadinessCheck {
  readonly check: string;
  readonly ok: boolean;
  /** Why not; `null` if it is. */
  readonly reason: string | null;
}

/** How far something that follows the journal is behind it. Statements are served all the same. */
export interface FollowerReadiness {
  readonly follower: string;
  readonly lagRecords: number;
  readonly lagBytes: number;
  readonly lagSeconds: number;
  /** Why the last try to deliver failed; `null` if it did not. */
  readonly reason: string | null;
}

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly ReadinessCheck[];
  readonly followers: readonly FollowerReadiness[];
  /** What deserves a look, and keeps no statement from being served. */
  readonly warnings: readonly string[];
}

/** What the checks look at, each asked anew every time. */
export interface ReadinessSources {
  /** Why the last write of the journal failed, `null` if it did not. */
  journalFailure(): string | null;
  /** Why the last reload of the rules failed, `null` if it did not. The rules before it are still in force. */
  rulesFailure(): string | null;
  /** Why the store could not be asked at the last look, `null` if it could. */
  storeFailure(): string | null;
  /** What is known of each catalogue that sessions have asked for, by connection. */
  catalogues(): ReadonlyMap<string, CatalogueStatus>;
  /** True once no new sessions are taken. */
  draining(): boolean;
  /** How the thread that follows the journal is; `null` where there is none. */
  recording(): RecordingStatus | null;
}

/** How long an upstream's answer is believed: probes come from several places, and each opens a connection. */
const UPSTREAM_CACHE_MS = 5000;
const CONNECT_DEADLINE_MS = 2000;

/** Tells whether Sluice can serve statements now: journal, rules, every catalogue in use, every upstream. */
export class ReadinessProbe {
  readonly #sources: ReadinessSources;
  readonly #upstreams: readonly UpstreamProbe[];

  constructor(connections: Config['connections'], sources: ReadinessSources) {
    this.#sources = sources;
    this.#upstreams = connections.map((connection) => new UpstreamProbe(connection));
  }

  async run(): Promise<Readiness> {
    const sources = this.#sources;
    const checks = [
      check('accepting sessions', sources.draining() ? 'draining: no new sessions are taken' : null),
      check('journal', sources.journalFailure()),
      check('rules', sources.rulesFailure()),
      check('store', sources.storeFailure()),
      ...[...sources.catalogues()].map(([name, { stale }]) => check(`catalogue ${name}`, stale)),
      ...(await Promise.all(this.#upstreams.map((upstream) => upstream.run()))),
    ];
    return { ready: checks.every(({ ok }) => ok), checks, ...aboutRecording(sources.recording()) };
  }
}

function aboutRecording(recording: RecordingStatus | null): Pick<Readiness, 'followers' | 'warnings'> {
  if (recording === null) return { followers: [], warnings: [] };
  const dead = recording.failure === null ? null : `the recording thread died: ${recording.failure}`;
  const followers = recording.followers.map(({ name, lag, failure }) => ({
    follower: name,
    lagRecords: lag.records,
    lagBytes: lag.bytes,
    lagSeconds: lag.seconds,
    reason: dead ?? failure?.message ?? null,
  }));
  return { followers, warnings: [recording.retention?.blocked ?? []].flat() };
}

function check(name: string, reason: string | null): ReadinessCheck {
  return { check: name, ok: reason === null, reason };
}

/**
 * Opens a TCP connection to the upstream and closes it: PostgreSQL ends such a visit without a word in its log. A MySQL is logged
 * in to, because it blocks a host that only visits (max_connect_errors).
 */
class UpstreamProbe {
  readonly #connection: ConnectionConfig;
  #answer: Promise<ReadinessCheck> | null = null;
  #askedAt = 0;

  constructor(connection: ConnectionConfig) {
    this.#connection = connection;
  }

  run(): Promise<ReadinessCheck> {
    const now = performance.now();
    if (this.#answer === null || now - this.#askedAt > UPSTREAM_CACHE_MS) {
      this.#askedAt = now;
      this.#answer = this.#ask();
    }
    return this.#answer;
  }

  async #ask(): Promise<ReadinessCheck> {
    const { name, protocol, upstream } = this.#connection;
    const reason =
      protocol === 'mysql' ? await loginFailure(name, upstream) : await connectFailure(upstream.host, upstream.port);
    return check(`upstream ${name}`, reason === null ? null : `${upstream.host}:${upstream.port} ${reason}`);
  }
}

function connectFailure(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (reason: string | null) => {
      socket.destroy();
      resolve(reason);
    };
    socket.setTimeout(CONNECT_DEADLINE_MS, () => finish('does not answer'));
    socket.once('connect', () => finish(null));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(`cannot be reached: ${error.code ?? error.message}`));
  });
}

async function loginFailure(name: string, upstream: UpstreamConfig): Promise<string | null> {
  const late = new Promise<string>((resolve) => {
    setTimeout(() => resolve('does not answer'), CONNECT_DEADLINE_MS).unref();
  });
  const login = askServer(name, upstream).then(
    () => null,
    (error: Error) => `cannot be logged in to: ${error.message}`,
  );
  return Promise.race([login, late]);
}
