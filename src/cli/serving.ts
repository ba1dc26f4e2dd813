import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { formatAddress } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import { resolveSecret } from '../config/secrets.ts';
import { Gateway, type Ports } from '../gateway/gateway.ts';
import { MysqlAnalyzers } from '../gateway/mysql/analyzers.ts';
import type { TokenVerifier } from '../identity/token-verifier.ts';
import { Users } from '../identity/users.ts';
import { RuleSet } from '../policy/decide.ts';
import { maskKeys } from '../policy/masks.ts';
import { Journal } from '../recording/journal.ts';
import { PostgresAnalyzer } from '../statements/postgres/analyzer.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { readSettings, type Settings } from './settings.ts';

/** Everything `sluice serve` runs, in one process. */
export class Serving {
  readonly log: Log;
  readonly #config: Config;
  readonly #gateway: Gateway;
  readonly #journal: Journal;
  /** What to end, in the order it was started. */
  readonly #ending: (() => void | Promise<void>)[];
  #rules: RuleSet;
  #rulesFailure: string | null = null;
  #reloading: Promise<void> = Promise.resolve();

  private constructor(
    config: Config,
    log: Log,
    rules: RuleSet,
    journal: Journal,
    gateway: Gateway,
    ending: (() => void | Promise<void>)[],
  ) {
    this.#config = config;
    this.log = log;
    this.#rules = rules;
    this.#journal = journal;
    this.#gateway = gateway;
    this.#ending = ending;
  }

  /**
   * Reads the configuration and the rules and serves them; resolves once clients can connect. If a part cannot be
   * started, those before it are ended. Rejects with CommandFailure, JournalError, or the system's error if an
   * address cannot be listened on.
   */
  static async start(configFile: string): Promise<Serving> {
    const settings = await readSettings(configFile);
    const { config, known, mysqlFunctions } = settings;
    const rules = await ruleSetOf(settings);
    const log = createLog(config.log.level);
    for (const warning of config.warnings) log.warn(warning);
    const ending: (() => void | Promise<void>)[] = [];
    try {
      const mysqlAnalyzers = new MysqlAnalyzers(mysqlFunctions);
      const analyzer = await PostgresAnalyzer.create({ known });
      ending.push(() => analyzer.close());
      const journal = Journal.open(config.recording.directory);
      ending.push(() => journal.close());
      const users = new Users(config.users);
      const gateway = new Gateway({
        config,
        users,
        tokens: await tokenVerifier(config, users),
        rules,
        journal,
        analyzer,
        mysqlAnalyzers,
        log,
      });
      ending.push(() => gateway.end());
      const serving = new Serving(config, log, rules, journal, gateway, ending);
      const ports = await gateway.listen();
      const api =
        config.listen.api === null ? null : await serving.#startApi(config.listen.api, analyzer, mysqlAnalyzers);
      log.info(
        {
          ...addressesOf(config, ports),
          ...(api !== null && { api }),
          rules: rules.ids.length,
          rulesVersion: rules.version,
        },
        'listening',
      );
      return serving;
    } catch (error) {
      await endAll(ending);
      throw error;
    }
  }

  /**
   * Reads the rules again and puts them in force in one step; the list of files is taken from the configuration file as it
   * is now. If anything is wrong with either, the old rules stay, and log, readiness and metrics say so. Never rejects.
   */
  reload(): Promise<void> {
    // One at a time: of two reloads the later one must win.
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    try {
      const settings = await readSettings(this.#config.file);
      const { config } = settings;
      const rules = await ruleSetOf(settings);
      this.#gateway.setRules(rules);
      const { added, removed } = difference(this.#rules.ids, rules.ids);
      this.log.info({ rulesVersion: rules.version, was: this.#rules.version, added, removed }, 'rules reloaded');
      this.#rules = rules;
      this.#rulesFailure = null;
      if (!isDeepStrictEqual({ ...config, rules: [] }, { ...this.#config, rules: [] })) {
        this.log.warn('sluice.yaml has other changes than its list of rules: they need a restart');
      }
    } catch (error) {
      this.#rulesFailure = (error as Error).message;
      this.log.error({ reason: this.#rulesFailure }, 'rules not reloaded: the old ones stay in force');
    }
  }

  /** Takes no new sessions, lets open transactions end within the configured limit, then ends everything. */
  async drain(): Promise<void> {
    await this.#gateway.drain();
    await this.end();
  }

  /** Ends everything now. */
  async end(): Promise<void> {
    await endAll(this.#ending);
  }

  /** @returns the address it listens on, as text */
  async #startApi(
    listen: NonNullable<Config['listen']['api']>,
    analyzer: PostgresAnalyzer,
    mysqlAnalyzers: MysqlAnalyzers,
  ): Promise<string> {
    // Not loaded where nobody asks for it: the HTTP server and the metrics take some MB.
    const [{ startApi }, { Metrics }, { ReadinessProbe }] = await Promise.all([
      import('../api/api.ts'),
      import('../api/metrics.ts'),
      import('../api/readiness.ts'),
    ]);
    const gateway = this.#gateway;
    const metrics = new Metrics({
      counters: gateway.counters,
      journal: this.#journal,
      openSessions: () => gateway.status().sessions,
      parses: () => together(analyzer.stats, mysqlAnalyzers.stats),
      catalogues: () => gateway.catalogues(),
      rules: () => ({ version: this.#rules.version, reloadFailed: this.#rulesFailure !== null }),
    });
    this.#ending.push(() => metrics.close());
    const probe = new ReadinessProbe(this.#config.connections, {
      journalFailure: () => this.#journal.failure,
      rulesFailure: () => this.#rulesFailure,
      catalogues: () => gateway.catalogues(),
      draining: () => gateway.status().draining,
    });
    const api = await startApi(listen, probe, metrics);
    this.#ending.push(() => api.close());
    return formatAddress(api.address);
  }
}

/** Look-ups of facts in both dialects. */
function together(a: MysqlAnalyzers['stats'], b: MysqlAnalyzers['stats']): MysqlAnalyzers['stats'] {
  return { hits1: a.hits1 + b.hits1, hits2: a.hits2 + b.hits2, misses: a.misses + b.misses };
}

/** Where each protocol is served, as text. */
function addressesOf({ listen }: Config, ports: Ports): Record<string, string> {
  return Object.fromEntries(
    [...ports].map(([name, port]) => [name, formatAddress({ host: listen[name]!.host, port })]),
  );
}

/** Loaded only where tokens are accepted. */
async function tokenVerifier({ oidc }: Config, users: Users): Promise<TokenVerifier | null> {
  if (oidc.length === 0) return null;
  const { OidcTokens } = await import('../identity/oidc-tokens.ts');
  return new OidcTokens(oidc, (name) => users.find(name) !== null);
}

/** With the keys of their masks; paths in references to them are as in sluice.yaml. */
async function ruleSetOf({ config, rules: { sections, version } }: Settings): Promise<RuleSet> {
  const keys = await maskKeys(sections, (reference) => resolveSecret(reference, dirname(config.file), process.env));
  return new RuleSet(sections.rules, version, sections, keys);
}

/** Last started, first ended; each once, whoever calls. */
async function endAll(ending: (() => void | Promise<void>)[]): Promise<void> {
  for (let end = ending.pop(); end !== undefined; end = ending.pop()) await end();
}

function difference(before: readonly string[], after: readonly string[]): { added: string[]; removed: string[] } {
  return {
    added: after.filter((id) => !before.includes(id)),
    removed: before.filter((id) => !after.includes(id)),
  };
}
