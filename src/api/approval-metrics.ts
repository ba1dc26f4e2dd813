import {
  Counter,
  Gauge,
  Histogram,
  type OpenMetricsContentType,
  type PrometheusContentType,
  type Registry,
} from 'prom-client';
import type { ApprovalEvent, Approvals } from '../approvals/approvals.ts';
import { resultOf } from '../approvals/voting.ts';

/** From those who sit in front of it to those who come back on Monday, seconds. */
const DECISION_BUCKETS = [1, 5, 15, 30, 60, 120, 300, 900, 3_600, 14_400, 86_400, 259_200];

/**
 * Metrics of requests for approval: what this node did, counted as it happens, and what is open at all nodes, asked of the store
 * at a scrape. Labels are words of ours and names of connections: never an identity, and nothing of a statement.
 *
 * @returns a function that ends the counting
 */
export function countApprovals(
  registry: Registry<PrometheusContentType> | Registry<OpenMetricsContentType>,
  approvals: Pick<Approvals, 'events' | 'countOpen'>,
): () => void {
  // A registry in the OpenMetrics format renames the counters in it: each has its own.
  const registers = [registry as Registry];
  const requests = new Counter({
    name: 'sluice_approval_requests_total',
    help: 'Requests for approval that were made, by connection and by the kind of identity that asks.',
    labelNames: ['connection', 'kind'],
    registers,
  });
  const votes = new Counter({
    name: 'sluice_approval_votes_total',
    help: 'Votes, by decision (approve, reject, break-glass) and by where they came from.',
    labelNames: ['decision', 'channel'],
    registers,
  });
  const decisions = new Histogram({
    name: 'sluice_approval_decision_seconds',
    help: 'From a request to its decision, by outcome.',
    labelNames: ['outcome'],
    buckets: DECISION_BUCKETS,
    registers,
  });
  const grants = new Counter({
    name: 'sluice_approval_grants_total',
    help: 'Grants, by whether a statement ran by them (used) or none did any more in time (expired).',
    labelNames: ['result'],
    registers,
  });
  for (const outcome of ['approved', 'rejected', 'expired', 'withdrawn']) decisions.zero({ outcome });
  for (const result of ['used', 'expired']) grants.inc({ result }, 0);
  addOpen(registers, approvals);

  const count = (event: ApprovalEvent): void => {
    const { request } = event;
    switch (event.event) {
      case 'requested': {
        const { binding, identity } = request.question;
        requests.inc({ connection: binding.connection, kind: identity.kind });
        break;
      }
      case 'voted':
        votes.inc({ decision: event.vote.decision, channel: event.vote.channel });
        break;
      case 'decided':
        if (request.state === 'expired' && resultOf(request.stages, request.votes) === 'approved')
          grants.inc({ result: 'expired' });
        else {
          // Clocks of two nodes, or one that was set, may differ.
          const ms = Math.max((request.decidedAt ?? request.createdAt) - request.createdAt, 0);
          decisions.observe({ outcome: request.state }, ms / 1000);
        }
        break;
      case 'collected':
        grants.inc({ result: 'used' });
        break;
      case 'estimated':
        break;
    }
  };
  approvals.events.on('change', count);
  return () => approvals.events.off('change', count);
}

/** What the store does not tell is left out: its own metric says why. */
function addOpen(registers: Registry[], approvals: Pick<Approvals, 'countOpen'>): void {
  let asked: ReturnType<Approvals['countOpen']> | null = null;
  /** One question for all gauges of a scrape. */
  const open = () => {
    asked ??= approvals.countOpen().finally(() => {
      asked = null;
    });
    return asked;
  };
  const waiting: Gauge = new Gauge({
    name: 'sluice_approval_requests_open',
    help: 'Requests of all nodes that wait for votes (pending), or for their statement to be sent again (approved).',
    labelNames: ['state'],
    registers,
    async collect() {
      waiting.reset();
      const found = await open().catch(() => null);
      if (found === null) return;
      waiting.set({ state: 'pending' }, found.pending);
      waiting.set({ state: 'approved' }, found.approved);
    },
  });
  const reviews: Gauge = new Gauge({
    name: 'sluice_approval_reviews_open',
    help: 'Requests of all nodes that were approved by breaking the glass, and that nobody has reviewed.',
    labelNames: [],
    registers,
    async collect() {
      reviews.remove();
      const found = await open().catch(() => null);
      if (found !== null) reviews.set(found.unreviewed);
    },
  });
}
