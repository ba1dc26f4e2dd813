import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type OpenMetricsContentType, type PrometheusContentType, Registry } from 'prom-client';
import type { Approvals } from '../approvals/approvals.ts';
import type { Courier } from '../approvals/courier.ts';
import type { CatalogueStatus } from '../catalog/keeper.ts';
import type { Counters } from '../gateway/services.ts';
import type { Journal } from '../recording/journal.ts';
import type { RecordingStatus } from '../recording/recording-thread.ts';
import type { RetentionStatus } from '../recording/retention.ts';
import { countApprovals } from './approval-metrics.ts';

/**
 * Where the values come from. The data path counts in plain numbers; they are read when a scrape asks, so that a
 * statement never pays for a metric.
 */
export interface MetricSources {
  readonly counters: Readonly<Counters>;
  readonly journal: Pick<Journal, 'counters' | 'failure'>;
  openSessions(): number;
  /** Look-ups of a statement's facts: by its text, by its text without literals, and those that had to be parsed. */
  parses(): { readonly hits1: number; readonly hits2: number; readonly misses: number };
  /** What is known of each catalogue that sessions have asked for, by connection. */
  catalogues(): ReadonlyMap<string, CatalogueStatus>;
  rules(): { readonly version: string; readonly reloadFailed: boolean };
  /** Why the store could not be asked, or written to, at the last try; `null` if it could. */
  storeFailure(): string | null;
  /** How the thread that follows the journal is; `null` where there is none. */
  recording(): RecordingStatus | null;
  readonly approvals: Pick<Approvals, 'events' | 'countOpen'>;
  /** What channels were told of requests for approval; `null` where there are none. */
  channels(): Pick<Courier, 'counters' | 'undelivered'> | null;
}

/** Everything /metrics has, in the Prometheus text format and in OpenMetrics. */
export class Metrics {
  readonly #prometheus = new Registry<PrometheusContentType>();
  readonly #openMetrics = new Registry<OpenMetricsContentType>();
  readonly #eventLoop: EventLoopDelay;
  readonly #uncount: (() => void)[] = [];

  constructor(sources: MetricSources) {
    this.#eventLoop = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#eventLoop.enable();
    this.#openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const registry of [this.#prometheus, this.#openMetrics]) {
      addGatewayMetrics(registry, sources);
      addCatalogueMetrics(registry, sources);
      addJournalMetrics(registry, sources);
      addFollowerMetrics(registry, sources);
      addStoreMetrics(registry, sources);
      addChannelMetrics(registry, sources);
      addProcessMetrics(registry, this.#eventLoop);
      this.#uncount.push(countApprovals(registry, sources.approvals));
    }
  }

  /** @param accept the Accept header of the scrape: those who ask for OpenMetrics get it. */
  async scrape(accept: string): Promise<{ readonly contentType: string; readonly body: string }> {
    const registry = accept.includes('application/openmetrics-text') ? this.#openMetrics : this.#prometheus;
    return { contentType: registry.contentType, body: await registry.metrics() };
  }

  close(): void {
    this.#eventLoop.disable();
    for (const end of this.#uncount) end();
  }
}

const LAG_RESOLUTION_MS = 20;

type EventLoopDelay = ReturnType<typeof monitorEventLoopDelay>;
type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>;
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

function addGatewayMetrics(registry: AnyRegistry, sources: MetricSources): void {
  const { counters } = sources;
  gauge(registry, 'sluice_sessions', 'Sessions open now.', () => [[{}, sources.openSessions()]]);
  counter(registry, 'sluice_sessions_started_total', 'Sessions begun.', () => [[{}, counters.sessions]]);
  gauge(registry, 'sluice_statements_waiting', 'Statements that wait for approval now, each with its client.', () => [
    [{}, counters.waiting],
  ]);
  counter(registry, 'sluice_authentication_failures_total', 'Logins that were refused.', () => [
    [{}, counters.authenticationFailures],
  ]);
  counter(
    registry,
    'sluice_logins_unheard_total',
    'Logins that were turned away because too many failed, or came at once.',
    () => [[{}, counters.unheardLogins]],
  );
  counter(registry, 'sluice_statements_total', 'Statements attempted, by what became of them.', () => [
    [{ verdict: 'allow' }, counters.allowed],
    [{ verdict: 'deny' }, counters.refused],
  ]);
  counter(registry, 'sluice_refusals_total', 'Refusals, by the rule or the word for what else refused.', () =>
    [...counters.refusals].map(([rule, count]) => [{ rule }, count]),
  );
  counter(
    registry,
    'sluice_approval_rollbacks_total',
    'Statements that changed more rows than were approved, and were rolled back.',
    () => [[{}, counters.rolledBack]],
  );
  counter(registry, 'sluice_protocol_violations_total', 'Sessions ended because a side broke the protocol.', () => [
    [{}, counters.violations],
  ]);
  counter(registry, 'sluice_cancel_requests_total', 'Cancel requests.', () => [[{}, counters.cancelRequests]]);
  counter(registry, 'sluice_upstream_failures_total', 'Upstream connections that could not be made.', () => [
    [{}, counters.upstreamFailures],
  ]);
  counter(
    registry,
    'sluice_unmaskable_results_total',
    'Results cut because they were not what their masks had been made for.',
    () => [[{}, counters.unmaskable]],
  );
  counter(registry, 'sluice_facts_lookups_total', 'How the facts of a text were found.', () => {
    const { hits1, hits2, misses } = sources.parses();
    return [
      [{ result: 'same text' }, hits1],
      [{ result: 'other literals' }, hits2],
      [{ result: 'parsed' }, misses],
    ];
  });
  gauge(registry, 'sluice_rules_info', 'The version of the rules in force.', () => [
    [{ version: sources.rules().version }, 1],
  ]);
  gauge(
    registry,
    'sluice_rules_reload_failed',
    '1 if the last reload of the rules failed; older ones are in force.',
    () => [[{}, sources.rules().reloadFailed ? 1 : 0]],
  );
}

function addCatalogueMetrics(registry: AnyRegistry, sources: MetricSources): void {
  gauge(registry, 'sluice_catalogue_age_seconds', 'Since the last reading of a catalogue that worked began.', () =>
    [...sources.catalogues()].flatMap(([connection, { age }]) => (age === null ? [] : [[{ connection }, age / 1000]])),
  );
  gauge(
    registry,
    'sluice_catalogue_stale',
    '1 if a catalogue may not be what the server has: it could not be read, or not yet.',
    () => [...sources.catalogues()].map(([connection, { stale }]) => [{ connection }, stale === null ? 0 : 1]),
  );
}

function addStoreMetrics(registry: AnyRegistry, { storeFailure }: MetricSources): void {
  gauge(registry, 'sluice_store_available', '0 if the store does not answer; logins are refused then.', () => [
    [{}, storeFailure() === null ? 1 : 0],
  ]);
}

function addChannelMetrics(registry: AnyRegistry, { channels }: MetricSources): void {
  counter(registry, 'sluice_approval_deliveries_total', 'What came of telling channels of requests for approval.', () =>
    [...(channels()?.counters ?? [])].flatMap(([channel, { delivered, failed, dead }]): Sample[] => [
      [{ channel, result: 'delivered' }, delivered],
      [{ channel, result: 'failed' }, failed],
      [{ channel, result: 'dead' }, dead],
    ]),
  );
  gauge(
    registry,
    'sluice_approval_undelivered',
    'What channels have not been told, of all nodes; `dead` was given up.',
    () => (channels()?.undelivered ?? []).map(({ channel, state, count }) => [{ channel, state }, count]),
  );
}

function addJournalMetrics(registry: AnyRegistry, { journal }: MetricSources): void {
  counter(registry, 'sluice_journal_records_total', 'Records written.', () => [[{}, journal.counters.records]]);
  counter(registry, 'sluice_journal_bytes_total', 'Bytes written.', () => [[{}, journal.counters.bytes]]);
  counter(registry, 'sluice_journal_failures_total', 'Writes that failed.', () => [[{}, journal.counters.failures]]);
  counter(
    registry,
    'sluice_journal_outcomes_lost_total',
    'Outcomes that could not be kept until they could be written.',
    () => [[{}, journal.counters.lost]],
  );
  gauge(registry, 'sluice_journal_writable', '0 if the last write failed; statements are refused then.', () => [
    [{}, journal.failure === null ? 1 : 0],
  ]);
}

function addFollowerMetrics(registry: AnyRegistry, { recording }: MetricSources): void {
  const each = (value: (follower: RecordingStatus['followers'][number]) => number) => (): Sample[] =>
    (recording()?.followers ?? []).map((follower) => [{ follower: follower.name }, value(follower)]);
  gauge(
    registry,
    'sluice_follower_lag_records',
    'Records that the index or an exporter has not taken yet.',
    each(({ lag }) => lag.records),
  );
  gauge(
    registry,
    'sluice_follower_lag_bytes',
    'How many bytes these are.',
    each(({ lag }) => lag.bytes),
  );
  gauge(
    registry,
    'sluice_follower_lag_seconds',
    'How long the oldest of these has waited.',
    each(({ lag }) => lag.seconds),
  );
  gauge(
    registry,
    'sluice_follower_failing',
    '1 if the last try to deliver records failed.',
    each(({ failure }) => (failure === null ? 0 : 1)),
  );
  counter(
    registry,
    'sluice_follower_failures_total',
    'Tries to deliver records that failed.',
    each(({ failures }) => failures),
  );
  counter(
    registry,
    'sluice_follower_records_total',
    'Records taken.',
    each(({ taken }) => taken.records),
  );
  counter(
    registry,
    'sluice_follower_bytes_total',
    'Bytes of records taken.',
    each(({ taken }) => taken.bytes),
  );
  const retention = (value: (status: RetentionStatus) => number) => (): Sample[] => {
    const status = recording()?.retention ?? null;
    return status === null ? [] : [[{}, value(status)]];
  };
  counter(
    registry,
    'sluice_journal_segments_removed_total',
    'Segments of the journal that were removed as recording.retain says.',
    retention(({ removed }) => removed),
  );
  gauge(
    registry,
    'sluice_journal_retention_blocked',
    '1 if the journal is longer than recording.retain says: somebody does not have the oldest segment, or it does not verify.',
    retention(({ blocked }) => (blocked === null ? 0 : 1)),
  );
  const thread = (value: (status: RecordingStatus) => number) => (): Sample[] => {
    const status = recording();
    return status === null ? [] : [[{}, value(status)]];
  };
  gauge(
    registry,
    'sluice_recording_thread_running',
    '0 while the thread of index and exporters is dead; it is begun again.',
    thread(({ failure }) => (failure === null ? 1 : 0)),
  );
  counter(
    registry,
    'sluice_recording_thread_restarts_total',
    'How often it was begun again.',
    thread(({ restarts }) => restarts),
  );
}

function addProcessMetrics(registry: AnyRegistry, eventLoop: EventLoopDelay): void {
  // Since the last scrape in either format. What is measured includes the timer's own interval.
  const lag = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1000);
  gauge(registry, 'sluice_event_loop_lag_seconds', 'How late the event loop was, since the last scrape.', () => {
    const samples: Sample[] = [
      [{ quantile: '0.5' }, lag(eventLoop.percentile(50))],
      [{ quantile: '0.99' }, lag(eventLoop.percentile(99))],
      [{ quantile: '1' }, lag(eventLoop.max)],
    ];
    eventLoop.reset();
    return samples;
  });
  counter(registry, 'process_cpu_seconds_total', 'User and system CPU time.', () => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  });
  gauge(registry, 'process_resident_memory_bytes', 'Resident memory.', () => [[{}, process.memoryUsage.rss()]]);
  gauge(registry, 'nodejs_heap_size_used_bytes', 'JavaScript heap in use.', () => [
    [{}, process.memoryUsage().heapUsed],
  ]);
  gauge(registry, 'nodejs_external_memory_bytes', 'Memory of Buffers and WebAssembly, outside the heap.', () => [
    [{}, process.memoryUsage().external],
  ]);
  gauge(registry, 'process_start_time_seconds', 'When the process began, seconds since the epoch.', () => [
    [{}, Math.round(performance.timeOrigin) / 1000],
  ]);
}

function gauge(registry: AnyRegistry, name: string, help: string, read: () => readonly Sample[]): void {
  const metric: Gauge = new Gauge({
    name,
    help,
    labelNames: LABELS,
    registers: [registry as Registry],
    collect() {
      metric.reset();
      for (const [labels, value] of read()) metric.set(labels, value);
    },
  });
}

/** prom-client's counters only go up by steps: they are set back and taken up to the value at each scrape. */
function counter(registry: AnyRegistry, name: string, help: string, read: () => readonly Sample[]): void {
  const metric: Counter = new Counter({
    name,
    help,
    labelNames: LABELS,
    registers: [registry as Registry],
    collect() {
      metric.reset();
      for (const [labels, value] of read()) metric.inc(labels, value);
    },
  });
}

const LABELS = ['verdict', 'rule', 'result', 'version', 'quantile', 'connection', 'follower', 'channel', 'state'];
