/** Errors and notices quote stored values: of statements on relations with masked columns they do not reach the client. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type PostgresServer, startPostgres } from './servers/postgres.ts';
import { type Sluice, startSluice } from './sluice.ts';

const CANARY = 'canary-7351@example.com';
const RULES = `version: 1
masks:
  - id: contact
    columns: [public.people.email]
    with: { email: keep-domain }
    unless: { identities: { groups: [dba] } }
`;

describe('messages that may quote masked values', () => {
  let postgres: PostgresServer;
  let sluice: Sluice;
  const clients: pg.Client[] = [];

  before(async () => {
    postgres = await startPostgres();
    await postgres.query(`CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE, note text);
      CREATE TABLE plain (id int PRIMARY KEY, email text UNIQUE);
      INSERT INTO people VALUES (1, '${CANARY}', 'a'), (2, 'other@example.com', 'b');
      INSERT INTO plain VALUES (1, 'seen@example.com');
      CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'email %', OLD.email; RETURN NEW; END $$;
      CREATE TRIGGER tell BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION tell()`);
    const { host, port, superuser: user, password, database } = postgres;
    sluice = await startSluice({
      connections: [{ name: 'db', upstream: { host, port, user, password, database } }],
      users: [
        { name: 'agent', password: 'secret' },
        { name: 'owner', password: 'secret', groups: ['dba'] },
      ],
      rulesYaml: RULES,
    });
  });
  after(async () => {
    for (const client of clients) await client.end();
    await sluice?.stop();
    await postgres?.stop();
  });

  async function connect(user: string): Promise<{ client: pg.Client; notices: string[] }> {
    const client = new pg.Client({ host: sluice.host, port: sluice.port, user, password: 'secret', database: 'db' });
    await client.connect();
    clients.push(client);
    const notices: string[] = [];
    client.on('notice', ({ message }) => notices.push(message ?? ''));
    return { client, notices };
  }

  function failing(client: pg.Client, query: string | pg.QueryConfig): Promise<pg.DatabaseError> {
    return client.query(query as string).then(
      () => assert.fail('it fails'),
      (error: pg.DatabaseError) => error,
    );
  }

  test('a violated constraint says of what class it is and quotes nothing', async () => {
    const { client } = await connect('agent');
    for (const query of [
      `INSERT INTO people VALUES (3, '${CANARY}', 'c')`,
      { text: 'INSERT INTO people VALUES ($1, $2, $3)', values: [3, CANARY, 'c'] },
    ]) {
      const error = await failing(client, query);
      assert.equal(error.code, '23505');
      assert.doesNotMatch(JSON.stringify({ ...error, message: error.message }), /canary/);
    }
    assert.equal((await client.query('SELECT note FROM people WHERE id = 1')).rows[0].note, 'a');
  });

  test('who is exempt from the mask, and statements on other relations, have the words of the server', async () => {
    const owner = await connect('owner');
    assert.match(
      (await failing(owner.client, `INSERT INTO people VALUES (3, '${CANARY}', 'c')`)).detail ?? '',
      /canary/,
    );
    const agent = await connect('agent');
    assert.match(
      (await failing(agent.client, "INSERT INTO plain VALUES (2, 'seen@example.com')")).detail ?? '',
      /seen/,
    );
  });

  test('notices of a trigger on such a relation do not reach the client', async () => {
    const owner = await connect('owner');
    await owner.client.query("UPDATE people SET note = 'x' WHERE id = 1");
    assert.equal(owner.notices.length, 1);
    const agent = await connect('agent');
    await agent.client.query("UPDATE people SET note = 'y' WHERE id = 1").catch(() => undefined);
    assert.deepEqual(agent.notices, []);
  });
});
