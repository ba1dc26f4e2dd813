import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Told } from '../../approvals/change-feed.ts';
import { currentTime } from '../../store/clock.ts';
import { ApiError } from '../api-error.ts';
import type { Caller } from '../authentication.ts';
import { type ApiServer, type ApiServices, callerOf } from '../services.ts';
import { view } from './approvals.ts';

/** Times are milliseconds. */
interface StreamLimits {
  /** After so much time in which nothing happened a comment says that the stream is there. */
  readonly heartbeatMs: number;
  /** How often it is looked whether the reader may still read. */
  readonly checkMs: number;
  /** A reader that takes nothing for so long is let go. */
  readonly stalledMs: number;
  /** Streams of this node at once. */
  readonly most: number;
}

const LIMITS: StreamLimits = { heartbeatMs: 5_000, checkMs: 250, stalledMs: 30_000, most: 200 };

/** Server-sent events (HTML, 9.2). */
export function addApprovalEventRoutes(api: ApiServer, services: ApiServices, own: Partial<StreamLimits> = {}): void {
  const limits = { ...LIMITS, ...own };
  let streams = 0;
  api.route({
    method: 'GET',
    url: '/approvals/events',
    config: { audience: 'viewer' },
    schema: {
      summary:
        'What happens to requests, as server-sent events: `event: request` with the request as it is then, from now on or ' +
        'behind `Last-Event-ID`; `event: reset` where some are not told: read the list of requests then.',
      tags: ['approvals'],
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      if (streams >= limits.most) throw new ApiError(503, 'too_many_streams', 'Too many listen already.');
      streams++;
      try {
        reply.hijack();
        const last = request.headers['last-event-id'];
        await stream(reply.raw, caller, typeof last === 'string' ? last : null, services, limits);
      } finally {
        streams--;
      }
    },
  });
}

/** Until the reader goes, does not read, or may not any more. What is sent is asked for when the reader has room for it. */
async function stream(
  response: ServerResponse,
  caller: Caller,
  last: string | null,
  services: ApiServices,
  { heartbeatMs, checkMs, stalledMs }: StreamLimits,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.flushHeaders();
  const ended = new AbortController();
  const { signal } = ended;
  const end = (): void => ended.abort();
  response.on('close', end);
  void untilNot(() => mayRead(caller, services), checkMs, signal).then(end);
  try {
    for await (const told of services.approvals.changes(sinceOf(last), signal, heartbeatMs)) {
      if (signal.aborted) break;
      response.write(textOf(told, caller, services.approvals));
      if (response.writableNeedDrain && !(await drained(response, signal, stalledMs))) break;
    }
  } catch (error) {
    if (!signal.aborted)
      services.log.error({ reason: (error as Error).message }, 'requests for approval could not be watched');
  } finally {
    end();
  }
  // What a reader does not take must not keep its connection open.
  if (response.writableNeedDrain) response.destroy();
  else response.end();
}

async function mayRead({ authenticated, login }: Caller, { access, logins }: ApiServices): Promise<boolean> {
  try {
    access.check();
    if (access.refusal(authenticated) !== null) return false;
    if (authenticated.expiresAt !== null && authenticated.expiresAt <= currentTime()) return false;
    return login === null || !(await logins.hasEnded(login));
  } catch {
    // Nobody knows: the reader asks again, and is told so.
    return false;
  }
}

/** Resolves once it is not so any more, or nobody needs to know. */
async function untilNot(is: () => Promise<boolean>, everyMs: number, signal: AbortSignal): Promise<void> {
  do await sleep(everyMs, null, { signal }).catch(() => null);
  while (!signal.aborted && (await is()));
}

/** An id that is none of ours comes before all of ours. */
function sinceOf(last: string | null): number | null {
  if (last === null || last === '') return null;
  return /^\d{1,15}$/.test(last) ? Number(last) : 0;
}

function textOf(told: Told, caller: Caller, approvals: ApiServices['approvals']): string {
  switch (told.what) {
    case 'request':
      return `id: ${told.at}\nevent: request\ndata: ${JSON.stringify(view(told.request, caller, approvals))}\n\n`;
    case 'reset':
      return `id: ${told.at}\nevent: reset\ndata: {}\n\n`;
    case 'begin':
      // Without data it is no event, but where a reader that is told nothing goes on.
      return `id: ${told.at}\n\n`;
    case 'nothing':
      return ': nothing\n\n';
  }
}

/** @returns false if the reader takes nothing for so long, or is gone */
function drained(response: ServerResponse, signal: AbortSignal, stalledMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (hasRoom: boolean) => () => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      signal.removeEventListener('abort', onEnd);
      resolve(hasRoom);
    };
    const onDrain = done(true);
    const onEnd = done(false);
    const timer = setTimeout(onEnd, stalledMs);
    response.once('drain', onDrain);
    signal.addEventListener('abort', onEnd);
    if (signal.aborted) onEnd();
  });
}
