import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { FastifyInstance } from 'fastify';
import type { ApiListener } from '../api/server.ts';
import type { ApiServices } from '../api/services.ts';
import { Approvals } from '../approvals/approvals.ts';
import type { Outbox } from '../approvals/outbox.ts';
import { recordOf } from '../approvals/records.ts';
import { formatAddress } from '../config/address.ts';
import type { Address, Config, Protocol, TlsConfig } from '../config/config.ts';
import { resolveSecret } from '../config/secrets.ts';
import { Analyzers } from '../gateway/analyzers.ts';
import { Gateway, loadServed, type Ports } from '../gateway/gateway.ts';
import { Access } from '../identity/access.ts';
import { Accounts } from '../identity/accounts.ts';
import { Credentials } from '../identity/credentials.ts';
import { Inventory } from '../identity/inventory.ts';
import { LastLogins } from '../identity/last-logins.ts';
import { Logins } from '../identity/logins.ts';
import type { SamlLogins } from '../identity/saml-logins.ts';
import type { TokenVerifier } from '../identity/token-verifier.ts';
import { Users } from '../identity/users.ts';
import { ruleChanges } from '../policy/changes.ts';
import { RuleSet } from '../policy/decide.ts';
import { maskKeys } from '../policy/masks.ts';
import { CheckpointKeeper } from '../recording/checkpoint-keeper.ts';
import { Journal } from '../recording/journal.ts';
import { INDEX, indexFile, indexPlace, removeIndexFile } from '../recording/record-index/index-place.ts';
import type { RecordIndex } from '../recording/record-index/search.ts';
import type { EventFields, EventName } from '../recording/record-schema.ts';
import type { RecordingThread } from '../recording/recording-thread.ts';
import type { HeldPreview } from '../rehearsal/held-preview.ts';
import { openStore, type Store } from '../store/store.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { FileWatch } from './file-watch.ts';
import { InvalidSettings, readSettings, type Settings } from './settings.ts';
import { versionOfSluice } from './version.ts';
import { YoungGeneration } from './young-generation.ts';

/** What asks for a reload. */
type ReloadCause = 'signal' | 'file change' | 'administrator';

/** Everything `sluice serve` runs, in one process. */
export class Serving {
  readonly log: Log;
  readonly #config: Config;
  readonly #shadow: boolean;
  readonly #gateway: Gateway;
  readonly #journal: Journal;
  /** `null` where nothing follows the journal. */
  readonly #recording: RecordingThread | null;
  readonly #identities: Identities;
  /** What to end, in the order it was started. */
  readonly #ending: (() => void | Promise<void>)[];
  /** Where clients of each protocol and of the API connect. */
  #addresses: Readonly<Record<string, string>> = {};
  #rules: RulesInForce;
  #rulesFailure: string | null = null;
  /** Whose certificates are shown now. */
  #tls: TlsConfig | null;
  #api: ApiListener | null = null;
  #reloading: Promise<void> = Promise.resolve();
  #index: Promise<RecordIndex> | null = null;
  readonly #files = new FileWatch(() => void this.reload('file change'));

  private constructor(
    config: Config,
    log: Log,
    shadow: boolean,
    rules: RulesInForce,
    journal: Journal,
    recording: RecordingThread | null,
    identities: Identities,
    gateway: Gateway,
    ending: (() => void | Promise<void>)[],
  ) {
    this.#config = config;
    this.log = log;
    this.#shadow = shadow;
    this.#rules = rules;
    this.#journal = journal;
    this.#recording = recording;
    this.#identities = identities;
    this.#tls = config.tls;
    this.#gateway = gateway;
    this.#ending = ending;
  }

  /**
   * Reads the configuration and the rules and serves them; resolves once clients can connect. If a part cannot be
   * started, those before it are ended. Rejects with CommandFailure, JournalError, or the system's error if an
   * address cannot be listened on.
   *
   * @param shadow true if all rules are shadow rules, whatever their files say
   */
  static async start(configFile: string, shadow = false): Promise<Serving> {
    const settings = await readSettings(configFile);
    const { config, known, mysqlFunctions } = settings;
    const rules = await rulesOf(settings, shadow);
    const log = createLog(config.log.level);
    for (const warning of config.warnings) log.warn(warning);
    if (shadow) log.warn('rules are in shadow: nothing is refused or masked by them');
    const ending: (() => void | Promise<void>)[] = [];
    try {
      const analyzers = new Analyzers(known, mysqlFunctions);
      ending.push(() => analyzers.close());
      const served = await loadServed(config.listen, analyzers);
      let recording: RecordingThread | null = null;
      // After the journal, so that its last records are delivered as well.
      ending.push(() => recording?.end());
      const journal = Journal.open(config.recording.directory, config.recording);
      ending.push(() => journal.close());
      journal.append(
        `"rules.loaded","version":"${rules.set.version}","by":"start"${shadow ? ',"mode":"shadow"' : ''}`,
        true,
      );
      recording = await recordingThread(config, journal, log);
      const store = await openStore(config.store);
      ending.push(() => store.destroy());
      const checkpoints = new CheckpointKeeper(store, journal);
      ending.push(() => {
        // Its last checkpoint is to be in the store as well.
        journal.close();
        return checkpoints.close();
      });
      const access = await Access.open(store);
      ending.push(() => access.close());
      const outbox = await outboxOf(config, store, (id) => approvals.request(id));
      ending.push(() => outbox?.close());
      let preview: Promise<HeldPreview> | null = null;
      ending.push(async () => (await preview)?.close());
      // Loaded only where something is held.
      const heldPreview = () => {
        preview ??= import('../rehearsal/held-preview.ts').then(
          (loaded) =>
            new loaded.HeldPreview({
              connection: (name) => config.connections.find((one) => one.name === name),
              read: (text, question, connection) => gateway.readHeld(text, question, connection),
              rules: () => gateway.rules,
            }),
        );
        return preview;
      };
      const sample: ApiServices['sample'] = async (question, viewer) =>
        (await heldPreview()).sampleFor(question, viewer);
      const approvals: Approvals = new Approvals({
        store,
        ended: ({ issuer, subject }) =>
          access.refusal({ identity: { kind: 'human', groups: [], subject, ...(issuer && { issuer }) } }),
        preview: async (question) => (await heldPreview()).impactOf(question),
        announce: outbox && ((transaction, event) => outbox.announce(transaction, event)),
        failed: (what, error) => log.error({ reason: error.message }, what),
      });
      ending.push(() => approvals.close());
      const credentials = new Credentials(store);
      const users = new Users(config.users);
      const tokens = await tokenVerifier(config, users);
      // Ended after the gateway, whose sessions have something for it to the last.
      const inventory = new Inventory(store, () => gateway.services.activities.take());
      ending.push(() => inventory.close());
      const gateway: Gateway = new Gateway({
        config,
        accounts: new Accounts(users, credentials),
        access,
        approvals,
        tokens,
        rules: rules.set,
        journal,
        analyzers,
        served,
        log,
      });
      ending.push(() => gateway.end());
      const young = new YoungGeneration(() => gateway.counters.allowed);
      ending.push(() => young.close());
      await inventory.enlist([...users].map(({ authenticated }) => authenticated.identity));
      const identities = {
        ...{ users, approvals, sample, outbox, tokens, access, credentials, inventory, store },
        logins: new Logins(store),
        lastLogins: new LastLogins(store),
      };
      const serving = new Serving(config, log, shadow, rules, journal, recording, identities, gateway, ending);
      approvals.events.on('change', (event) => {
        const record = recordOf(event);
        if (record === null) return;
        journal.append(record, true);
        gateway.services.turn.wake();
      });
      outbox?.start(approvals, {
        gaveUp: (channel, { id, request, event, attempts }, reason) => {
          serving.#record('approval.undelivered', { channel, request, notice: event, delivery: id, attempts, reason });
          log.error({ channel, request, notice: event, delivery: id, attempts, reason }, 'notice of approval given up');
        },
        troubled: (channel, reason) => {
          if (reason === null) log.info({ channel }, 'channel of approvals works again');
          else log.warn({ channel, reason }, 'channel of approvals fails: what it is to be told waits');
        },
      });
      ending.push(() => serving.#files.close());
      serving.#files.watch(filesOf(config));
      const ports = await gateway.listen();
      const api = config.listen.api === null ? null : await serving.#startApi(config.listen.api, ports, analyzers);
      serving.#addresses = { ...addressesOf(config, ports), ...(api !== null && { api }) };
      return serving;
    } catch (error) {
      await endAll(ending);
      throw error;
    }
  }

  /** Logs where it listens: whoever started this process waits for that, and may then send it signals. */
  announce(): void {
    const { set } = this.#rules;
    this.log.info({ ...this.#addresses, rules: set.ids.length, rulesVersion: set.version }, 'listening');
  }

  /**
   * Reads the rules again and puts them in force in one step; the list of files is taken from the configuration file as it
   * is now. If anything is wrong with either, the old rules stay, and log, journal, readiness and metrics say so. Never
   * rejects.
   *
   * @param by what asked for it, for the record
   */
  reload(by: ReloadCause): Promise<void> {
    // One at a time: of two reloads the later one must win.
    this.#reloading = this.#reloading.then(() => this.#reload(by));
    return this.#reloading;
  }

  async #reload(by: ReloadCause): Promise<void> {
    const was = this.#rules.set.version;
    try {
      const settings = await readSettings(this.#config.file);
      const { config } = settings;
      this.#files.watch(filesOf(config));
      const rules = await rulesOf(settings, this.#shadow);
      this.#renewTls(config.tls);
      const { version } = rules.set;
      if (by === 'file change' && version === was && this.#rulesFailure === null) return;
      const changes = ruleChanges(this.#rules.sections, rules.sections);
      this.#gateway.setRules(rules.set);
      this.#rules = rules;
      this.#rulesFailure = null;
      this.#record('rules.loaded', { version, by, was, ...changes });
      this.log.info({ rulesVersion: version, by, was, ...changes }, 'rules reloaded');
      if (!isDeepStrictEqual(beyondReload(config), beyondReload(this.#config))) {
        this.log.warn('sluice.yaml has other changes than its list of rules and certificates: they need a restart');
      }
    } catch (error) {
      const reason = (error as Error).message;
      // The files in force go on being watched, and those that were meant to be: there the mistake is mended.
      if (error instanceof InvalidSettings) this.#files.watch([...filesOf(this.#config), ...error.rules]);
      this.#rulesFailure = reason;
      this.#record('rules.rejected', { version: was, by, reason });
      this.log.error({ by, reason }, 'rules not reloaded: the old ones stay in force');
    }
  }

  /** Certificates end, and are made anew: those who connect from now on are shown the ones that the files have now. */
  #renewTls(tls: TlsConfig | null): void {
    if (tls === null || this.#tls === null || isDeepStrictEqual(tls, this.#tls)) return;
    this.#tls = tls;
    this.#gateway.renewTls(tls);
    this.#api?.renewTls(tls);
    this.log.info('certificates renewed');
  }

  #record<Name extends EventName>(event: Name, fields: EventFields<Name>): void {
    this.#journal.append(`${JSON.stringify(event)},${JSON.stringify(fields).slice(1, -1)}`, true);
    this.#gateway.services.turn.wake();
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
  async #startApi(listen: NonNullable<Config['listen']['api']>, ports: Ports, analyzers: Analyzers): Promise<string> {
    // Not loaded where nobody asks for it: the HTTP server and the metrics take some MB.
    const [{ startServer }, { Metrics }, { ReadinessProbe }] = await Promise.all([
      import('../api/server.ts'),
      import('../api/metrics.ts'),
      import('../api/readiness.ts'),
    ]);
    const gateway = this.#gateway;
    const { access, approvals, inventory } = this.#identities;
    const storeFailure = () => access.failure ?? inventory.failure;
    const metrics = new Metrics({
      counters: gateway.counters,
      journal: this.#journal,
      openSessions: () => gateway.status().sessions,
      parses: () => analyzers.stats,
      catalogues: () => gateway.catalogues(),
      rules: () => ({ version: this.#rules.set.version, reloadFailed: this.#rulesFailure !== null }),
      storeFailure,
      recording: () => this.#recording?.status() ?? null,
      approvals,
      channels: () => this.#identities.outbox?.courier ?? null,
    });
    this.#ending.push(() => metrics.close());
    const probe = new ReadinessProbe(this.#config.connections, {
      journalFailure: () => this.#journal.failure,
      rulesFailure: () => this.#rulesFailure,
      storeFailure,
      catalogues: () => gateway.catalogues(),
      draining: () => gateway.status().draining,
      recording: () => this.#recording?.status() ?? null,
    });
    const { tls } = this.#config;
    const createApi = () => this.#createApi(ports);
    const server = await startServer(listen, { tls, probe, metrics, keys: this.#journal.keys, createApi });
    this.#api = server;
    this.#ending.push(() => server.close());
    return formatAddress(server.address);
  }

  /** To be searched; opened when it is first asked for. */
  #openIndex(): Promise<RecordIndex | null> {
    const { recording, store } = this.#config;
    if (!recording.index) return Promise.resolve(null);
    this.#index ??= import('../recording/record-index/open-index.ts').then(async ({ openIndex }) => {
      const index = await openIndex(indexPlace(recording.directory, store));
      this.#ending.push(() => index.destroy());
      return index;
    });
    this.#index.catch(() => {
      this.#index = null;
    });
    return this.#index;
  }

  async #createApi(ports: Ports): Promise<FastifyInstance> {
    const [{ createApi }, { PasswordCheck }] = await Promise.all([
      import('../api/api.ts'),
      import('../identity/password-check.ts'),
    ]);
    const { users } = this.#identities;
    return createApi({
      ...this.#identities,
      passwords: new PasswordCheck(users),
      saml: await samlLogins(this.#config, this.#identities),
      backoff: this.#gateway.conditions.backoff,
      roles: this.#config.roles,
      config: this.#config,
      listening: {
        postgres: listeningOn('postgres', this.#config, ports),
        mysql: listeningOn('mysql', this.#config, ports),
      },
      log: this.log,
      grantsFor: (identity, connection) => this.#gateway.grantsFor(identity, connection),
      sessions: () => this.#gateway.sessions(),
      node: this.#journal.node,
      recordIndex: () => this.#openIndex(),
      indexLag: () => this.#recording?.status().followers.find(({ name }) => name === INDEX)?.lag ?? null,
      reload: async () => {
        await this.reload('administrator');
        return this.#rulesFailure;
      },
      recordingFailure: () => this.#journal.failure,
      isUser: ({ issuer, subject }) => issuer === undefined && users.find(subject) !== null,
      record: (event, fields) => this.#record(event, fields),
    });
  }
}

/** Where each protocol is served, as text. */
function addressesOf(config: Config, ports: Ports): Record<string, string> {
  return Object.fromEntries([...ports.keys()].map((name) => [name, formatAddress(listeningOn(name, config, ports)!)]));
}

function listeningOn(protocol: Protocol, { listen }: Config, ports: Ports): Address | null {
  const address = listen[protocol];
  return address === null ? null : { host: address.host, port: ports.get(protocol) ?? address.port };
}

/** Loaded only where tokens are accepted. */
async function tokenVerifier({ oidc }: Config, users: Users): Promise<TokenVerifier | null> {
  if (oidc.length === 0) return null;
  const { OidcTokens } = await import('../identity/oidc-tokens.ts');
  return new OidcTokens(oidc, (name) => users.find(name) !== null);
}

/** Begun only where something follows the journal. */
async function recordingThread(
  { recording, store, connections }: Config,
  journal: Journal,
  log: Log,
): Promise<RecordingThread | null> {
  const { export: exporters, directory, retain } = recording;
  const index = recording.index ? indexPlace(directory, store) : null;
  // One that was made for a search of the journal alone would not be kept level with it.
  if (index?.kind !== 'sqlite') removeIndexFile(indexFile(directory));
  if (exporters.length === 0 && index === null && retain === null) return null;
  // What is written up to here is no growth that the thread would have to begin for.
  journal.flush();
  const { RecordingThread } = await import('../recording/recording-thread.ts');
  const targets = connections.map(
    ({ name, upstream: { host, port, database } }) => [name, { host, port, database }] as const,
  );
  const origin = { version: versionOfSluice(), hostname: hostname(), targets: new Map(targets) };
  return new RecordingThread(journal, { exporters, index, retain, origin }, log);
}

/** Loaded only where there are channels. */
async function outboxOf({ approvals }: Config, store: Store, request: Approvals['request']): Promise<Outbox | null> {
  if (approvals.channels.length === 0) return null;
  const { Outbox } = await import('../approvals/outbox.ts');
  return new Outbox(approvals, store, request);
}

/** Loaded only where people log in by it. */
async function samlLogins({ saml }: Config, { users, store, logins }: Identities): Promise<SamlLogins | null> {
  if (saml === null) return null;
  const { SamlLogins } = await import('../identity/saml-logins.ts');
  return new SamlLogins(saml, store, logins, (name) => users.find(name) !== null);
}

/** Who may log in, and what says so. */
interface Identities {
  readonly users: Users;
  readonly approvals: Approvals;
  readonly sample: ApiServices['sample'];
  /** `null` where there are no channels. */
  readonly outbox: Outbox | null;
  /** `null` where no tokens are accepted. */
  readonly tokens: TokenVerifier | null;
  readonly access: Access;
  readonly credentials: Credentials;
  readonly logins: Logins;
  readonly lastLogins: LastLogins;
  readonly store: Store;
  readonly inventory: Inventory;
}

interface RulesInForce {
  readonly set: RuleSet;
  /** What they were compiled from. */
  readonly sections: Settings['rules']['sections'];
}

/** With the keys of their masks; paths in references to them are as in sluice.yaml. */
async function rulesOf({ config, rules: { sections, version } }: Settings, shadow: boolean): Promise<RulesInForce> {
  const keys = await maskKeys(sections, (reference) => resolveSecret(reference, dirname(config.file), process.env));
  return { set: new RuleSet(sections.rules, version, sections, keys, shadow), sections };
}

/** The files whose changes are looked for. */
function filesOf({ file, rules }: Config): string[] {
  return [file, ...rules];
}

/** What a reload does not put in force. */
function beyondReload({ tls, ...config }: Config): object {
  return { ...config, rules: [], tls: tls === null ? null : { asksForCertificates: tls.clientCa !== null } };
}

/** Last started, first ended; each once, whoever calls. */
async function endAll(ending: (() => void | Promise<void>)[]): Promise<void> {
  for (let end = ending.pop(); end !== undefined; end = ending.pop()) await end();
}
