import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Access } from '../src/identity/access.ts';
import { identityId } from '../src/identity/identity.ts';
import { Approver } from './approver.ts';
import type { TOLD_PROGRAMS } from './drivers/programs.ts';
import { DriverError, type ToldConnection, ToldProgram } from './drivers/told-clients.ts';
import { startMariadb } from './servers/mariadb.ts';
import type { MysqlFamilyServer } from './servers/mysql-family.ts';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, type SluiceConnection, startSluice } from './sluice.ts';
import { until } from './until.ts';

/**
 * Approvals end to end, through drivers: all of them go through each scenario at the same time, each on a table of its own.
 * Votes are taken in this process, as another node would: through the store. What ran is asked of the servers' own logs.
 */

const HOLD = 'hold\n    approval: { from: { groups: [dba] }, wait: 60s, within: 1h }';
/** @param deletes what becomes of deletions; everything else stays */
const rules = (deletes = HOLD) => `version: 1
rules:
  - id: deletes
    match: { effects: [delete] }
    action: ${deletes}
  - id: updates-get-a-ticket
    match: { effects: [update] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 0s }
  - id: inserts-are-urgent
    match: { effects: [insert] }
    action: hold
    approval: { from: { groups: [dba] }, wait: 60s, within: 2s }
  - id: truncations-wait-for-two
    match: { effects: [truncate] }
    action: hold
    approval: { from: { groups: [dba] }, count: 2, wait: 60s }
`;

type Program = keyof typeof TOLD_PROGRAMS;

/** One driver in front of one server. */
interface Lane {
  readonly name: string;
  readonly program: Program;
  readonly driver: 'postgres' | 'mysql' | 'mariadb';
  readonly server: 'postgres' | 'mariadb';
  readonly table: string;
}

const LANES: readonly Lane[] = (
  [
    ['psycopg', 'python', 'postgres', 'postgres'],
    ['node-postgres', 'node', 'postgres', 'postgres'],
    ['pgjdbc', 'java', 'postgres', 'postgres'],
    ['mysql2', 'node', 'mysql', 'mariadb'],
    ['MySQL Connector/J', 'java', 'mysql', 'mariadb'],
    ['MariaDB Connector/J', 'java', 'mariadb', 'mariadb'],
  ] as const
).map(([name, program, driver, server], i) => ({ name, program, driver, server, table: `held_${i}` }));

const directory = mkdtempSync(join(tmpdir(), 'sluice-approvals-'));
const storeFile = join(directory, 'store.db');
const servers = new Map<Lane['server'], PostgresServer | MysqlFamilyServer>();
const programs = new Map<Program, ToldProgram>();
let lanes: readonly Lane[] = [];
/** Why a driver is not there. */
const missing: string[] = [];
let node: Sluice;
let otherNode: Sluice;
let approver: Approver;
let access: Access;

const startNode = () => {
  const connections = [...servers].map(
    ([name, { host, port, database, superuser: user, password }]): SluiceConnection => ({
      name,
      protocol: name === 'postgres' ? 'postgres' : 'mysql',
      upstream: { host, port, database, user, password },
    }),
  );
  const users = ['bot', 'other', 'leaver'].map((name) => ({
    name,
    password: 'secret',
    // MySQL's Connector/J takes MariaDB for too old to ask for the other.
    mysqlPlugin: 'mysql_native_password' as const,
  }));
  const people = ['dana', 'erin', 'sam'].map((name) => ({
    name,
    password: 'secret',
    kind: 'human' as const,
    groups: name === 'sam' ? ['dba', 'sre'] : ['dba'],
  }));
  return startSluice({
    connections,
    users: [...users, ...people],
    rulesYaml: rules(),
    roles: { approver: ['dba'], auditor: ['dba'] },
    approvals: { break_glass: ['sre'] },
    store: `sqlite:${storeFile}`,
  });
};

before(async () => {
  const [postgres, mariadb] = await Promise.all([
    startPostgres({ config: { log_statement: 'all' } }),
    startMariadb({ config: { general_log: '1', log_output: 'TABLE' } }),
  ]);
  servers.set('postgres', postgres);
  if (mariadb !== null) servers.set('mariadb', mariadb);
  for (const name of new Set(LANES.map(({ program }) => program))) {
    const started = await ToldProgram.start(name);
    if (typeof started === 'string') missing.push(started);
    else programs.set(name, started);
  }
  lanes = LANES.filter(({ program, server }) => programs.has(program) && servers.has(server));
  for (const { table, server } of lanes) await servers.get(server)!.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`);
  // Makes the tables of the store, which two nodes cannot do at once in a file.
  approver = await Approver.open(storeFile);
  [node, otherNode] = await Promise.all([startNode(), startNode()]);
  access = await Access.open(approver.store);
});

after(async () => {
  access?.close();
  await approver?.close();
  await Promise.all([node?.stop(), otherNode?.stop()]);
  await Promise.all([...programs.values()].map((program) => program.kill()));
  await Promise.all([...servers.values()].map((server) => server.stop()));
  rmSync(directory, { recursive: true });
});

let texts = 0;

/** What one driver does in one scenario. */
class Actor {
  readonly lane: Lane;
  /** In every text of it, and in those of nobody else. */
  readonly mark = `mark ${++texts}.`;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get #server() {
    return servers.get(this.lane.server)!;
  }

  async connected(
    to = node,
    user = 'bot',
    program = programs.get(this.lane.program)!,
    settings: readonly string[] = [],
  ): Promise<ToldConnection> {
    const { driver, server } = this.lane;
    const port = server === 'postgres' ? to.port : to.mysqlPort;
    return program.open(driver, { host: to.host, port, user, password: 'secret', database: server }, settings);
  }

  /** A text with its mark, about its table. */
  text(statement: string): string {
    return `${statement.replace('TABLE', this.lane.table)} /* ${this.mark} */`;
  }

  get delete(): string {
    return this.text('DELETE FROM TABLE WHERE id = ?');
  }

  get update(): string {
    return this.text('UPDATE TABLE SET id = id + 100 WHERE id = ?');
  }

  async ids(): Promise<number[]> {
    const rows = await this.#server.query(`SELECT id FROM ${this.lane.table} ORDER BY id`);
    return rows.map(({ id }) => Number(id));
  }

  /** How often the server has been asked to run what it is about, other than to see what it would do. */
  async ran(): Promise<number> {
    if (this.lane.server === 'postgres') {
      const lines = this.#server.log().split('\n');
      return lines.filter(
        (line) => line.includes(this.mark) && /(statement|execute [^:]*): (DELETE|UPDATE|INSERT|TRUNC)/.test(line),
      ).length;
    }
    const rows = await this.#server.query(`SELECT COUNT(*) AS n FROM mysql.general_log
      WHERE command_type IN ('Query', 'Execute') AND argument REGEXP '^(DELETE|UPDATE|INSERT|TRUNCATE)' AND argument LIKE '%${this.mark}%'`);
    return Number(rows[0]!.n);
  }

  request(after = 0) {
    return approver.requestFor(this.mark, after);
  }

  /** The error that something ends in. */
  async failure(work: Promise<unknown>): Promise<DriverError> {
    const error = await work.then(
      () => assert.fail('it ran'),
      (reason) => reason,
    );
    assert.ok(error instanceof DriverError, error);
    return error;
  }

  /** As {@link failure}, of a statement that Sluice refuses. */
  async refusal(work: Promise<unknown>): Promise<string> {
    const { code, message } = await this.failure(work);
    assert.equal(code, this.lane.server === 'postgres' ? '42501' : '1142', message);
    return message;
  }

  /** The ticket that a statement gets. */
  async ticket(work: Promise<unknown>): Promise<number> {
    assert.match(await this.refusal(work), /needs approval/);
    return (await this.request()).id;
  }

  async ranOnce(): Promise<void> {
    assert.equal(await this.ran(), 1);
  }

  async neverRan(): Promise<void> {
    assert.equal(await this.ran(), 0);
    assert.deepEqual(await this.ids(), [1, 2, 3]);
  }
}

/** All drivers at once. @returns what each comes to, in the order of the actors */
async function together<T>(actors: readonly Actor[], act: (actor: Actor, index: number) => Promise<T>): Promise<T[]> {
  const ends = await Promise.allSettled(actors.map(act));
  return ends.map((end, i) => {
    if (end.status === 'fulfilled') return end.value;
    throw new Error(`${actors[i]!.lane.name}: ${end.reason.message}`, { cause: end.reason });
  });
}

/** Declares a scenario: `act` is what each driver does. */
function scenario(name: string, run: (actors: readonly Actor[]) => Promise<unknown>): void {
  test(name, { timeout: 60_000 }, async (t: TestContext) => {
    for (const reason of missing) t.diagnostic(`NOT RUN: ${reason}`);
    await Promise.all(
      lanes.map(({ table, server }) =>
        servers.get(server)!.query(`DELETE FROM ${table}; INSERT INTO ${table} VALUES (1), (2), (3)`),
      ),
    );
    await run(lanes.map((lane) => new Actor(lane)));
  });
}

const each = (act: (actor: Actor) => Promise<unknown>) => (actors: readonly Actor[]) => together(actors, act);

async function reload(sluice: Sluice, text: string): Promise<void> {
  const loaded = () => sluice.journal().filter(({ event, by }) => event === 'rules.loaded' && by === 'signal').length;
  const before = loaded();
  writeFileSync(sluice.rulesFile, text);
  sluice.signal('SIGHUP');
  while (loaded() === before) await sleep(25);
}

describe('a held statement, through every driver', () => {
  scenario(
    'runs once it is approved while its client waits',
    each(async (actor) => {
      const client = await actor.connected();
      const result = client.run(actor.delete, [2]);
      const { id } = await actor.request();
      await actor.neverRan();
      await approver.approve(id);
      assert.equal(await result, 1);
      assert.deepEqual(await actor.ids(), [1, 3]);
      await actor.ranOnce();
      assert.equal(await approver.stateOf(id), 'used');
    }),
  );

  scenario(
    'is collected by sending it again on another connection once it is approved after the wait, and once only',
    each(async (actor) => {
      const id = await actor.ticket((await actor.connected()).run(actor.update, [2]));
      await actor.neverRan();
      await approver.approve(id);
      const second = await actor.connected();
      assert.equal(await second.run(actor.update, [2]), 1);
      await actor.ranOnce();
      assert.notEqual(await actor.ticket(second.run(actor.update, [2])), id);
      await actor.ranOnce();
    }),
  );

  scenario(
    'is refused with the reason of a rejection, again when it is sent again',
    each(async (actor) => {
      const client = await actor.connected();
      const result = actor.refusal(client.run(actor.delete, [2]));
      await approver.reject((await actor.request()).id, 'use the archive job');
      assert.match(await result, /was rejected: use the archive job/);
      assert.match(await actor.refusal(client.run(actor.delete, [2])), /was rejected: use the archive job/);
      await actor.neverRan();
      await client.run(actor.text('SELECT 1'));
    }),
  );

  scenario(
    'ends with the time to decide about it, whether its client waits or has been approved and not come',
    each(async (actor) => {
      const client = await actor.connected();
      const insert = actor.text('INSERT INTO TABLE (id) VALUES (?)');
      const waiting = actor.refusal(client.run(insert, [7]));
      const { id, createdAt, expiresAt } = await actor.request();
      assert.equal(expiresAt - createdAt, 2000);
      assert.match(await waiting, /expired|in time/);
      await assert.rejects(approver.approve(id), /expired already|time to vote is over/);
      const approved = await actor.ticket(client.run(actor.update, [2]));
      await approver.approve(approved);
      await approver.endNow(approved);
      assert.notEqual(await actor.ticket(client.run(actor.update, [2])), approved);
      await actor.neverRan();
    }),
  );

  scenario(
    'is withdrawn when its client cancels it as its driver does, and the session goes on',
    each(async (actor) => {
      const client = await actor.connected();
      const result = actor.failure(client.run(actor.delete, [2]));
      const { id } = await actor.request();
      await client.cancel();
      assert.match((await result).code, /^(57014|1317|70100)$/);
      assert.equal(await approver.stateOf(id), 'withdrawn');
      await assert.rejects(approver.approve(id), /withdrawn already/);
      await client.run(actor.text('SELECT 1'));
      await actor.neverRan();
    }),
  );

  scenario(
    'is withdrawn when its client closes its socket',
    each(async (actor) => {
      const client = await actor.connected();
      const result = actor.failure(client.run(actor.delete, [2]));
      const { id } = await actor.request();
      await client.abort();
      await result;
      assert.equal(await approver.stateOf(id), 'withdrawn');
      await actor.neverRan();
    }),
  );

  scenario('is withdrawn when the process of its client is killed', async (actors) => {
    const doomed = new Map<Program, ToldProgram>();
    for (const name of new Set(actors.map(({ lane }) => lane.program))) {
      doomed.set(name, (await ToldProgram.start(name)) as ToldProgram);
    }
    const results = await together(actors, async (actor) => {
      const client = await actor.connected(node, 'bot', doomed.get(actor.lane.program)!);
      const result = actor.failure(client.run(actor.delete, [2]));
      return { id: (await actor.request()).id, result };
    });
    for (const program of doomed.values()) await program.kill();
    await together(actors, async (actor, i) => {
      await results[i]!.result;
      assert.equal(await approver.stateOf(results[i]!.id), 'withdrawn');
      await actor.neverRan();
    });
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    scenario(
      `outlives the gateway that held it (${signal}): approved afterwards, it is collected at another`,
      async (actors) => {
        const first = await startNode();
        const held = await together(actors, async (actor) => {
          const client = await actor.connected(first);
          const result = actor.failure(client.run(actor.delete, [2]));
          return { id: (await actor.request()).id, result };
        });
        first.signal(signal);
        await first.exited;
        await together(actors, async (_actor, i) => {
          const { id, result } = held[i]!;
          const { message } = await result;
          if (signal === 'SIGTERM') assert.match(message, /needs approval/);
          assert.equal((await approver.approvals.request(id)).state, 'pending');
          await approver.approve(id);
        });
        await together(actors, async (actor, i) => {
          const client = await actor.connected();
          assert.equal(await client.run(actor.delete, [2]), 1);
          await actor.ranOnce();
          assert.equal((await approver.approvals.request(held[i]!.id)).state, 'used');
        });
        await first.stop();
      },
    );
  }

  scenario(
    'gets its ticket at one node and is collected at another',
    each(async (actor) => {
      const [here, there] = await Promise.all([actor.connected(), actor.connected(otherNode)]);
      const id = await actor.ticket(here.run(actor.update, [1]));
      await approver.approve(id);
      assert.equal(await there.run(actor.update, [1]), 1);
      await actor.ranOnce();
      assert.deepEqual(await actor.ids(), [2, 3, 101]);
    }),
  );

  scenario(
    'is another request with another value, in another place, or for another identity',
    each(async (actor) => {
      const [client, stranger] = await Promise.all([actor.connected(), actor.connected(node, 'other')]);
      const schema = actor.lane.server === 'postgres' ? 'public' : servers.get(actor.lane.server)!.database;
      const update = actor.text(`UPDATE ${schema}.TABLE SET id = id + 100 WHERE id = ?`);
      const id = await actor.ticket(client.run(update, [1]));
      await approver.approve(id);
      assert.notEqual(await actor.ticket(client.run(update, [2])), id);
      assert.notEqual(await actor.ticket(stranger.run(update, [1])), id);
      const [away, back] =
        actor.lane.server === 'postgres'
          ? ['SET search_path = pg_catalog', 'RESET search_path']
          : ['USE mysql', `USE ${schema}`];
      await client.run(away);
      assert.notEqual(await actor.ticket(client.run(update, [1])), id);
      await actor.neverRan();
      await client.run(back);
      assert.equal(await client.run(update, [1]), 1);
      await actor.ranOnce();
    }),
  );

  scenario('is judged by the rules that are loaded meanwhile', async (actors) => {
    const own = await startNode();
    const ticketed = await together(actors, async (actor) => {
      const client = await actor.connected(own);
      const id = await actor.ticket(client.run(actor.update, [3]));
      await approver.approve(id);
      const held = client.run(actor.delete, [2]);
      // Looked at below.
      held.catch(() => undefined);
      const { id: pending } = await actor.request(id);
      return { client, id, held, pending };
    });
    // The same rules: nothing has changed.
    await reload(own, rules());
    await together(actors, async (actor, i) => {
      const { id, held, pending } = ticketed[i]!;
      assert.equal((await approver.approvals.request(pending)).state, 'pending');
      const other = await actor.connected(own);
      assert.equal(await other.run(actor.update, [3]), 1);
      assert.equal((await approver.approvals.request(id)).state, 'used');
      await approver.approve(pending);
      assert.equal(await held, 1);
      assert.equal(await actor.ran(), 2);
    });
    for (const [action, message] of [
      ['deny', /refused by rule deletes/],
      ['allow', null],
    ] as const) {
      await reload(own, rules());
      const waiting = await together(actors, async (actor, i) => {
        const held = ticketed[i]!.client.run(actor.delete, [1]);
        held.catch(() => undefined);
        return { held, id: (await actor.request(ticketed[i]!.pending)).id };
      });
      // Stricter, or looser: nobody has to be asked any more.
      await reload(own, rules(action));
      await together(actors, async (actor, i) => {
        const { held, id } = waiting[i]!;
        if (message === null) assert.equal(await held, 1);
        else assert.match(await actor.refusal(held), message);
        assert.equal(await actor.ran(), message === null ? 3 : 2);
        assert.equal(await approver.stateOf(id), 'withdrawn');
      });
    }
    // Approved under other rules than those in force.
    await reload(own, rules());
    const approved = await together(actors, async (actor, i) => {
      const id = await actor.ticket(ticketed[i]!.client.run(actor.update, [2]));
      await approver.approve(id);
      return id;
    });
    await reload(own, rules('deny'));
    await together(actors, async (actor, i) => {
      assert.notEqual(await actor.ticket(ticketed[i]!.client.run(actor.update, [2])), approved[i]);
      assert.equal(await actor.ran(), 3);
    });
    await own.stop();
  });

  scenario('ends with its client when the identity that asks is locked', async (actors) => {
    const held = await together(actors, async (actor) => {
      const client = await actor.connected(node, 'leaver');
      const result = actor.failure(client.run(actor.delete, [2]));
      return { id: (await actor.request()).id, result };
    });
    assert.ok(await access.setState(identityId({ subject: 'leaver' }), 'locked', 'dana', 'left'));
    await together(actors, async (actor, i) => {
      const { id, result } = held[i]!;
      await result;
      assert.equal(await approver.stateOf(id), 'withdrawn');
      await assert.rejects(approver.approve(id), /withdrawn already/);
      await actor.failure(actor.connected(node, 'leaver'));
      await actor.neverRan();
    });
  });

  scenario('does not run by the approval of somebody who is locked before it is released', async (actors) => {
    const held = await together(actors, async (actor) => {
      const client = await actor.connected();
      const id = await actor.ticket(client.run(actor.update, [1]));
      await approver.approve(id, 'erin');
      const waiting = actor.refusal(client.run(actor.text('TRUNCATE TABLE')));
      const { id: second } = await actor.request(id);
      await approver.approve(second, 'erin');
      return { id, second, waiting };
    });
    assert.ok(await access.setState(identityId({ subject: 'erin' }), 'locked', 'dana', 'left'));
    await together(actors, async (actor, i) => {
      const { id, second, waiting } = held[i]!;
      const client = await actor.connected();
      // Other nodes have seen it within a second.
      await approver.approve(second);
      assert.match(await waiting, /approval of erin does not count any more/);
      assert.match(await actor.refusal(client.run(actor.update, [1])), /approval of erin does not count any more/);
      assert.equal((await approver.approvals.request(id)).state, 'expired');
      await actor.neverRan();
    });
  });

  scenario('keeps what was sent behind it in a pipeline from the server until it is decided', async (actors) => {
    const pipelining = actors.filter(({ lane }) => lane.name === 'psycopg' || lane.name === 'pgjdbc');
    await together(pipelining, async (actor) => {
      const client = await actor.connected();
      const send = (end: string) => {
        const sql = [
          actor.text(`SET application_name = 'before ${end}'`),
          actor.text(`DELETE FROM TABLE WHERE id = ${end.length}`),
          actor.text(`SET application_name = 'behind ${end}'`),
        ];
        return actor.lane.name === 'psycopg' ? client.pipeline(sql) : client.batch(sql);
      };
      /** What of these the server has been sent, in its order. */
      const seen = (end: string) =>
        servers
          .get('postgres')!
          .log()
          .split('\n')
          .filter((line) => line.includes(actor.mark) && /(statement|execute [^:]*): (DELETE|SET)/.test(line))
          .flatMap((line) => /DELETE/.exec(line)?.[0] ?? new RegExp(`(before|behind) ${end}`).exec(line)?.[1] ?? []);
      const rejected = actor.refusal(send('no'));
      const first = await actor.request();
      // Nothing else comes while people think, which they do for a moment.
      await approver.impact(first.id);
      assert.ok(!seen('no').includes('behind'));
      await approver.reject(first.id, 'no');
      await rejected;
      assert.ok(!seen('no').includes('behind'));
      await actor.neverRan();
      const result = send('yes');
      const { id } = await actor.request(first.id);
      await approver.impact(id);
      assert.ok(!seen('yes').includes('behind'));
      await approver.approve(id);
      assert.equal(await result, 1);
      assert.deepEqual(seen('yes'), ['before', 'DELETE', 'behind']);
      assert.deepEqual(await actor.ids(), [1, 2]);
    });
  });

  scenario('may change no more rows than were counted, in whatever form its driver sends it', async (actors) => {
    await together(actors, async (actor) => {
      for (const [begin, end] of [
        ['', ''],
        ['BEGIN', 'ROLLBACK'],
      ] as const) {
        const client = await actor.connected();
        if (begin !== '') await client.run(begin);
        const sql = `${actor.text('DELETE FROM TABLE WHERE id <= ?')} /* ${begin} */`;
        const result = actor.refusal(client.run(sql, [2]));
        const { id, question } = await approver.requestFor(`${actor.mark} */ /* ${begin} */`);
        assert.equal(question.unguarded, null);
        assert.equal((await approver.impact(id)).rows, 2);
        // It has grown since.
        await servers.get(actor.lane.server)!.query(`INSERT INTO ${actor.lane.table} VALUES (0)`);
        await approver.approve(id);
        assert.match(await result, /changed 3 rows where 2 were approved/);
        if (end !== '') await client.run(end);
        assert.deepEqual(await actor.ids(), [0, 1, 2, 3]);
        await servers.get(actor.lane.server)!.query(`DELETE FROM ${actor.lane.table} WHERE id = 0`);
        await client.run(actor.text('SELECT 1'));
      }
    });
  });

  scenario('is counted for each execution of a batch, or its approvers are told that it is not', async (actors) => {
    /** What the drivers make of a batch of one statement by what they are told. */
    const settings: Readonly<Record<string, readonly (readonly string[])[]>> = {
      psycopg: [[]],
      pgjdbc: [[], ['preferQueryMode=simple'], ['reWriteBatchedInserts=true', 'prepareThreshold=1']],
      'MySQL Connector/J': [
        ['continueBatchOnError=false'],
        ['continueBatchOnError=false', 'useServerPrepStmts=false'],
        ['rewriteBatchedStatements=true', 'allowMultiQueries=true', 'useServerPrepStmts=false'],
      ],
      'MariaDB Connector/J': [[], ['useBulkStmts=true'], ['useServerPrepStmts=false', 'allowMultiQueries=true']],
    };
    const batching = actors.filter(({ lane }) => lane.name in settings);
    await together(batching, async (actor) => {
      const isPostgres = actor.lane.server === 'postgres';
      for (const [n, own] of settings[actor.lane.name]!.entries()) {
        for (const begin of ['', 'BEGIN']) {
          const words = `${actor.mark} */ /* batch ${n} ${begin}.`;
          const client = await actor.connected(node, 'bot', programs.get(actor.lane.program)!, own);
          if (begin !== '') await client.run(begin);
          const sql = `${actor.text('DELETE FROM TABLE WHERE id <= ?')} /* batch ${n} ${begin}. */`;
          // Connector/J puts no fewer into one text.
          const values = own.includes('rewriteBatchedStatements=true') ? [1, 3, 3, 3] : [1, 3];
          const result = actor.failure(client.batch(sql, values));
          const first = await approver.requestFor(words);
          const isTogether = own.some((one) => /^(rewriteBatchedStatements|useBulkStmts)=true$/.test(one));
          if (isTogether) {
            assert.match(first.question.unguarded ?? '', /several/);
            await approver.reject(first.id, 'no');
            await result;
          } else {
            await approver.counted(first.id, 1);
            await approver.approve(first.id);
            const second = await approver.requestFor(words, first.id);
            await approver.counted(second.id, 1);
            await approver.approve(second.id);
            const { message } = await result;
            assert.match(message, /changed 2 rows where 1 were approved|rolled back/);
          }
          if (begin !== '') await client.run('ROLLBACK');
          // Where nothing makes them one transaction, what was done before stays.
          const isApart = !isPostgres || own.includes('preferQueryMode=simple');
          const keeps = isApart && begin === '' && first.question.unguarded === null;
          assert.deepEqual(await actor.ids(), keeps ? [2, 3] : [1, 2, 3], words);
          if (keeps) await servers.get(actor.lane.server)!.query(`INSERT INTO ${actor.lane.table} VALUES (1)`);
        }
      }
    });
  });

  scenario('runs at once by breaking the glass, for a reason, which somebody else reviews', async (actors) => {
    const api = async (user: string, path: string, body?: object) => {
      const headers = {
        authorization: `Basic ${Buffer.from(`${user}:secret`).toString('base64')}`,
        'content-type': 'application/json',
      };
      const url = `http://127.0.0.1:${node.apiPort}/api/v1/approvals${path}`;
      const asked = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) };
      const response = await fetch(url, asked);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const unreviewed = async () =>
      ((await api('dana', '?unreviewed=true')).body.requests as { request: number }[]).map(({ request }) => request);
    await together(actors, async (actor) => {
      const client = await actor.connected();
      const result = client.run(actor.text('TRUNCATE TABLE'));
      const { id } = await actor.request();
      // Without a reason, by an approver who may not alone, or by somebody who is none.
      for (const [user, reason, status] of [
        ['sam', ' ', 409],
        ['dana', 'the disk is full', 409],
        ['bot', 'the disk is full', 403],
      ] as const) {
        assert.equal((await api(user, `/${id}/break-glass`, { reason })).status, status, user);
      }
      await actor.neverRan();
      assert.equal((await api('sam', `/${id}/break-glass`, { reason: 'the disk is full' })).status, 200);
      await result;
      assert.deepEqual(await actor.ids(), []);
      await actor.ranOnce();
      const voted = await until(
        () => node.journal().find(({ event, request }) => event === 'approval.voted' && request === id),
        'the vote is recorded',
      );
      assert.match(JSON.stringify(voted), /break-glass.*the disk is full/);
      assert.ok((await unreviewed()).includes(id));
      assert.equal((await api('sam', `/${id}/review`, { note: 'mine' })).status, 409);
      assert.equal((await api('bot', `/${id}/review`, { note: 'mine' })).status, 403);
      assert.equal((await api('dana', `/${id}/review`, { note: '' })).status, 400);
      const reviewed = await api('dana', `/${id}/review`, { note: 'it was full' });
      assert.equal((reviewed.body.review as { by: string }).by, 'dana');
      assert.ok(!(await unreviewed()).includes(id));
      assert.equal((await api('dana', `/${id}/review`, { note: 'again' })).status, 409);
    });
  });
});
