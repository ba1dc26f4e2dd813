import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import fastify, { type FastifyInstance } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { until } from '../../test/until.ts';
import { Approvals } from '../approvals/approvals.ts';
import { person, question, TICKET_ONLY } from '../approvals/test-requests.ts';
import { identityId } from '../identity/identity.ts';
import { createApi } from './api.ts';
import { addApprovalEventRoutes } from './routes/approval-events.ts';
import type { ApiServices } from './services.ts';
import { type TestServices, testServices } from './test-services.ts';

let own: TestServices;
let approvals: Approvals;
const nodes: FastifyInstance[] = [];

before(async () => {
  own = await testServices();
  ({ approvals } = own.services);
});
after(async () => {
  await Promise.all(nodes.map((node) => node.close()));
  await own.close();
});

/** @returns where it streams */
async function listen(node: FastifyInstance, path: string): Promise<string> {
  nodes.push(node);
  return `${await node.listen({ host: '127.0.0.1', port: 0 })}${path}`;
}

const wholeApi = async (services = own.services) => listen(await createApi(services), '/api/v1/approvals/events');

/** One that only has the route, with limits of its own, and on which everybody is who the test says. */
function streamsFor(
  user: string,
  limits: NonNullable<Parameters<typeof addApprovalEventRoutes>[2]>,
  more: { readonly login?: string; readonly expiresAt?: number; readonly services?: Partial<ApiServices> } = {},
): Promise<string> {
  const { login = null, expiresAt = null, services = {} } = more;
  const node = fastify({ forceCloseConnections: true });
  const api = node.withTypeProvider<ZodTypeProvider>();
  api.setValidatorCompiler(validatorCompiler);
  api.setSerializerCompiler(serializerCompiler);
  api.decorateRequest('caller', null);
  const identity = { subject: user, kind: 'human' as const, groups: ['approver'] };
  api.addHook('onRequest', async (request) => {
    request.caller = { authenticated: { identity, expiresAt }, login, roles: ['approver'] };
  });
  addApprovalEventRoutes(api as never, { ...own.services, ...services }, limits);
  return listen(node, '/approvals/events');
}

interface Heard {
  readonly id: string | null;
  readonly event: string | null;
  readonly data: { readonly request?: number; readonly state?: string };
}

/** What is between two empty lines, one after the other; `null` at the end. */
class Stream {
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = '';

  private constructor(response: Response) {
    this.response = response;
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async open(url: string, lastId: string | null = null): Promise<Stream> {
    const authorization = `Basic ${Buffer.from('approver:secret').toString('base64')}`;
    return new Stream(
      await fetch(url, { headers: { authorization, ...(lastId !== null && { 'last-event-id': lastId }) } }),
    );
  }

  async next(): Promise<string | null> {
    while (!this.#rest.includes('\n\n')) {
      const { value, done } = await this.#reader.read();
      if (done) return null;
      this.#rest += value;
    }
    const end = this.#rest.indexOf('\n\n');
    const block = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 2);
    return block;
  }

  /** Comments are passed over. */
  async event(): Promise<Heard> {
    for (;;) {
      const block = await this.next();
      assert.notEqual(block, null, 'the stream has ended');
      const fields = new Map(block!.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]));
      if (fields.has('id'))
        return {
          id: fields.get('id')!,
          event: fields.get('event') ?? null,
          data: JSON.parse(fields.get('data') ?? '{}'),
        };
    }
  }

  /** Resolves when the server has ended it. */
  async ended(): Promise<void> {
    while ((await this.next()) !== null);
  }

  close(): Promise<void> {
    return this.#reader.cancel();
  }
}

let asked = 0;

/** Somebody asks, and has a ticket. */
async function ask(text = ''): Promise<number> {
  const one = question({ approvals: [TICKET_ONLY] }, { statement: `DELETE FROM orders -- ${++asked} ${text}` });
  const ruling = await approvals.rule(one, () => undefined, new AbortController().signal);
  assert.equal(ruling.kind, 'ticket');
  return (ruling as { request: number }).request;
}

const reject = (id: number) => approvals.vote(id, person('ann'), 'reject', { reason: 'no', channel: 'api' });

test('a reader that comes back, to another node, is told what it has missed, and nothing twice', async () => {
  const first = await Stream.open(await wholeApi());
  const begin = await first.event();
  assert.deepEqual([begin.event, begin.data], [null, {}]);
  const known = await ask();
  const told = await first.event();
  assert.deepEqual([told.event, told.data.request, told.data.state], ['request', known, 'pending']);
  await first.close();
  // While nobody listens, at a node with nothing in memory of who did.
  const another = new Approvals({
    store: own.store,
    ended: () => null,
    preview: null,
    announce: null,
    failed: assert.fail,
  });
  const missed = await ask();
  await reject(known);
  const url = await wholeApi({ ...own.services, approvals: another });
  const second = await Stream.open(url, told.id);
  const heard = [await second.event(), await second.event()];
  assert.deepEqual(
    heard.map(({ data }) => [data.request, data.state]),
    [
      [missed, 'pending'],
      [known, 'rejected'],
    ],
  );
  await reject(missed);
  assert.deepEqual((await second.event()).data.state, 'rejected');
  // It had been told nothing yet: where it began is where it goes on.
  const third = await Stream.open(url, begin.id);
  assert.deepEqual([(await third.event()).data.request, (await third.event()).data.request], [known, missed]);
  await Promise.all([second.close(), third.close()]);
  await another.close();
});

test('a reader whose place is not known has to read the list', async () => {
  const url = await wholeApi();
  for (const id of ['17', '999999999999999', '9'.repeat(400), 'x', '-1', '1e3']) {
    const stream = await Stream.open(url, id);
    const { event, id: at } = await stream.event();
    assert.equal(event, 'reset', id);
    const next = await ask();
    const told = await stream.event();
    assert.equal(told.data.request, next);
    assert.equal(Number(told.id), Number(at) + 1);
    await stream.close();
  }
});

test('a stream on which nothing happens says that it is there', async () => {
  const stream = await Stream.open(await streamsFor('approver', { heartbeatMs: 20 }));
  await stream.event();
  assert.equal(await stream.next(), ': nothing');
  assert.equal(await stream.next(), ': nothing');
  await stream.close();
});

test('a reader that does not read is let go, and little is kept for it', async () => {
  const text = 'x'.repeat(1_000_000);
  let told = 0;
  const changes: Approvals['changes'] = async function* (since, stop, quietMs) {
    for await (const one of approvals.changes(since, stop, quietMs)) {
      told++;
      yield one;
    }
  };
  const counted: Approvals = Object.create(approvals, {
    changes: { value: changes },
    previewOf: { value: approvals.previewOf.bind(approvals) },
  });
  const failures: unknown[] = [];
  const log = { error: (...what: unknown[]) => failures.push(what) } as unknown as ApiServices['log'];
  const url = await streamsFor('approver', { stalledMs: 300 }, { services: { approvals: counted, log } });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.pause();
  const gone = once(socket, 'close');
  socket.on('error', () => undefined);
  socket.write('GET /approvals/events HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => told === 1, 'the stream has begun');
  for (let n = 0; n < 25; n++) await ask(text);
  // What the system buffers for both ends is all that was asked for.
  await until(async () => {
    const [node] = nodes.slice(-1);
    return (await new Promise<number>((resolve) => node!.server.getConnections((_, count) => resolve(count)))) === 0;
  }, 'the server has ended the connection');
  assert.deepEqual(failures, []);
  assert.ok(told > 1 && told < 25, `${told} requests of 1 MB were read for it`);
  socket.destroy();
  await gone;
});

test('a stream ends when its reader may not read any more, though nothing happens', async () => {
  const login = await own.services.logins.create({
    identity: { subject: 'sam', kind: 'human', groups: [] },
    expiresAt: Date.now() + 3_600_000,
  });
  const quiet = { heartbeatMs: 3_600_000 };
  const expiring = await Stream.open(await streamsFor('eve', quiet, { expiresAt: Date.now() + 1_000 }));
  const leaving = await Stream.open(await streamsFor('sam', quiet, { login: login.id }));
  const locked = await Stream.open(await streamsFor('lou', quiet));
  const stays = await Stream.open(await streamsFor('ann', quiet));
  for (const stream of [expiring, leaving, locked, stays]) await stream.event();
  await own.services.logins.end(login.id);
  const lou = { subject: 'lou', kind: 'human' as const, groups: [] };
  await own.services.inventory.enlist([lou]);
  await own.services.access.setState(identityId(lou), 'locked', 'admin', 'left');
  await Promise.all([expiring.ended(), leaving.ended(), locked.ended()]);
  const next = await ask();
  assert.equal((await stays.event()).data.request, next);
  await stays.close();
});

test('there are only so many streams at once', async () => {
  const url = await streamsFor('approver', { most: 1 });
  const first = await Stream.open(url);
  const second = await fetch(url);
  assert.equal(second.status, 503);
  await second.body?.cancel();
  await first.close();
  await until(async () => {
    const third = await Stream.open(url);
    await third.close();
    return third.response.status === 200;
  }, 'there is room again');
});
