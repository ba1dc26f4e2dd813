import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, type ApiOptions, ApiRefusal, type StreamPosition } from './api-client.ts';
import { CommandFailure, EXIT } from './failure.ts';

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** As many as the API lists at once. */
const MOST_LISTED = 500;
const NOT_FOUND = 404;
const TOO_MANY_REQUESTS = 429;

/** What of a request has to be known to follow it. */
interface Watched {
  readonly request: number;
  readonly state: string;
}

/**
 * Requests as they come and change, until `stop`. A connection that ends is made again, at this node or another, and goes on
 * where it was; what it was is said on standard error. Where the server does not know any more what was missed, what is
 * pending is read anew, and what has become of those that were pending.
 *
 * @throws CommandFailure if the first connection fails, or the server does not let this one in any more
 */
export async function* watchRequests<Request extends Watched>(
  options: ApiOptions,
  stop: AbortSignal,
): AsyncGenerator<Request> {
  let client = await ApiClient.open(options);
  const position: StreamPosition = { lastId: null };
  const pending = new Set<number>();
  const noted = (one: Request): Request => {
    if (one.state === 'pending') pending.add(one.request);
    else pending.delete(one.request);
    return one;
  };
  /** `null` before the first connection. */
  let failures: number | null = null;
  /** Some changes were missed, and what they were has not been read yet. */
  let hasGap = false;
  for (;;) {
    let why = 'The server has ended the connection.';
    try {
      // A login may have to be renewed; a password is typed once.
      if (failures !== null && options.user === undefined) client = await ApiClient.open(options);
      for await (const { event, data } of client.events('/approvals/events', position, stop)) {
        if (event === 'open') {
          if (failures !== null) console.error('Connected again.');
          failures = 0;
        } else if (event === 'reset') {
          hasGap = true;
          console.error('More has changed than the server tells: the list is read anew.');
        } else if (event === 'request') {
          yield noted(JSON.parse(data) as Request);
        }
        if (!hasGap) continue;
        for await (const one of openNow<Request>(client, pending)) yield noted(one);
        hasGap = false;
      }
    } catch (error) {
      if (stop.aborted) return;
      if (failures === null || !passes(error)) throw error;
      why = `${(error as Error).message}.`;
    }
    if (stop.aborted) return;
    failures = failures ?? 0;
    const bound = Math.min(FIRST_RETRY_MS * 2 ** failures++, LONGEST_RETRY_MS);
    // Those that lost one server do not come back together.
    const waitMs = bound * (0.5 + Math.random() / 2);
    console.error(`${why} Trying again in ${(waitMs / 1000).toFixed(1)} s.`);
    await sleep(waitMs, null, { signal: stop }).catch(() => null);
    if (stop.aborted) return;
  }
}

/**
 * What is pending, the oldest first, and before that what was when it was told last and is not any more.
 * @param before what was; those that the server does not know are taken out
 */
async function* openNow<Request extends Watched>(client: ApiClient, before: Set<number>): AsyncGenerator<Request> {
  const { requests } = await client.get<{ requests: Request[] }>(`/approvals?most=${MOST_LISTED}`);
  const now = new Set(requests.map(({ request }) => request));
  for (const id of [...before].filter((one) => !now.has(one))) {
    try {
      yield await client.get<Request>(`/approvals/${id}`);
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.status !== NOT_FOUND) throw error;
      before.delete(id);
    }
  }
  yield* requests.reverse();
}

/** True for what another try may get past: the server is away, or has too much to do. */
function passes(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.status >= 500 || error.status === TOO_MANY_REQUESTS;
  return error instanceof CommandFailure && error.exitCode === EXIT.unreachable;
}
