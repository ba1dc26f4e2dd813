import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import type { StoreConfig } from '../config/config.ts';
import { openStore, type Store } from '../store/store.ts';
import { Access } from './access.ts';
import { Credentials, type NewCredential } from './credentials.ts';
import { type Identity, identityId } from './identity.ts';
import { type Activity, Inventory } from './inventory.ts';
import { Logins } from './logins.ts';

/** What is kept of identities, in both kinds of store. */

const ALICE: Identity = { subject: 'alice', kind: 'human', groups: ['dba'], issuer: 'https://idp.example' };
const BOT: Identity = { ...ALICE, subject: 'alice/bot', kind: 'agent', groups: [], owner: 'alice' };
const SOON = () => Date.now() + 60_000;

const directory = mkdtempSync(join(tmpdir(), 'sluice-identities-'));
let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true });
});

const kinds: Record<string, () => StoreConfig> = {
  SQLite: () => ({ kind: 'sqlite', file: join(directory, 'sluice.db') }),
  PostgreSQL: () => {
    const { host, port, superuser, password, database } = server;
    return { kind: 'postgres', url: `postgres://${superuser}:${password}@${host}:${port}/${database}` };
  },
};

for (const [name, config] of Object.entries(kinds)) {
  describe(name, () => {
    let store: Store;
    let access: Access;
    /** As another node has it. */
    let elsewhere: Access;
    let credentials: Credentials;
    before(async () => {
      store = await openStore(config());
      access = await Access.open(store);
      elsewhere = await Access.open(await openStore(config()));
      credentials = new Credentials(store);
    });
    after(async () => {
      await Promise.all([access.close(), elsewhere.close()]);
      await store.destroy();
    });

    const created = (changes: Partial<NewCredential> = {}) =>
      credentials.create({ identity: BOT, connections: null, expiresAt: SOON(), by: ALICE, login: null, ...changes });

    test('a credential is found until it is revoked, which every node knows', async () => {
      const expiresAt = SOON();
      const { credential, secret } = await created({ connections: ['shop'], expiresAt });
      assert.deepEqual((await credentials.find(credential.id))!.authenticated, {
        identity: BOT,
        expiresAt,
        credential: { id: credential.id, connections: ['shop'], by: identityId(ALICE) },
      });
      const use = { identity: BOT, credential: { id: credential.id, connections: null, by: identityId(ALICE) } };
      assert.equal(elsewhere.refusal(use), null);
      assert.deepEqual(await credentials.revoke({ id: credential.id }, 'root', 'leaked'), [credential.id]);
      assert.deepEqual(await credentials.revoke({ id: credential.id }, 'root', 'again'), []);
      assert.equal(await credentials.find(credential.id), null);
      await elsewhere.look();
      assert.equal(elsewhere.refusal(use), 'its credential was revoked (leaked)');
      const [listed] = await credentials.list({ id: credential.id });
      assert.equal(listed!.revokedReason, 'leaked');
      const rows = JSON.stringify(await store.selectFrom('credentials').selectAll().execute());
      assert.ok(!rows.includes(secret));
    });

    test('a login ends with the credentials that were made in it, and no others', async () => {
      const logins = new Logins(store);
      const login = await logins.create({ identity: ALICE, expiresAt: SOON() });
      const other = await logins.create({ identity: ALICE, expiresAt: SOON() });
      assert.deepEqual((await logins.find(login.token))!.authenticated.identity, ALICE);
      const own = await created({ login: login.id });
      const others = await created({ login: other.id });
      await logins.end(login.id);
      assert.equal(await logins.find(login.token), null);
      assert.equal(await credentials.find(own.credential.id), null);
      assert.notEqual(await credentials.find(others.credential.id), null);
      assert.ok(!JSON.stringify(await store.selectFrom('logins').selectAll().execute()).includes(other.token));
    });

    test('an owner is locked without having been here; a maker takes its credentials along', async () => {
      const bot: Identity = { ...BOT, owner: 'dora' };
      const service: Identity = { subject: 'ci', kind: 'service', groups: [] };
      await created({ identity: bot });
      const { credential } = await created({ identity: service, by: service });
      await access.setState(
        identityId({ issuer: 'https://idp.example', subject: 'dora' }),
        'locked',
        'root',
        'has left',
      );
      await access.setState(identityId(service), 'locked', 'root', '');
      await elsewhere.look();
      assert.equal(elsewhere.refusal({ identity: bot }), 'its owner is locked (has left)');
      const use = { id: credential.id, connections: null, by: identityId(service) };
      const made = { subject: 'ci/worker', kind: 'agent', groups: [] } as const;
      assert.equal(elsewhere.refusal({ identity: made, credential: use }), 'whoever made its credential is locked');
      await access.setState(identityId(service), 'active', 'root', '');
      await elsewhere.look();
      assert.equal(elsewhere.refusal({ identity: made, credential: use }), null);
      assert.equal(await access.setState('no such identity', 'locked', 'root', ''), false);
    });

    test('a session that is killed is known at every node', async () => {
      await access.kill('0123456789abcdef', 'root', 'too slow');
      await access.kill('0123456789abcdef', 'root', 'again');
      await elsewhere.look();
      assert.equal(elsewhere.killed('0123456789abcdef'), 'it was ended by an administrator (again)');
      assert.equal(elsewhere.killed('fedcba9876543210'), null);
    });

    test('the inventory counts up what sessions did, and what waited while the store was away', async () => {
      const { credential } = await created({ identity: BOT });
      const activity: Activity = {
        identity: BOT,
        connection: 'shop',
        credential: credential.id,
        sessions: 1,
        allowed: 2,
        held: 1,
        denied: 3,
        uses: [{ aspect: 'effect', name: 'read public.orders', count: 2 }],
      };
      const done: Activity[] = [];
      const inventory = new Inventory(store, () => done.splice(0));
      const [before] = await inventory.find('alice/bot');
      done.push(activity, activity);
      await inventory.write();
      done.push(activity);
      await inventory.close();
      const [entry] = await inventory.find(identityId(BOT));
      assert.deepEqual(
        [entry!.sessions, entry!.allowed, entry!.held, entry!.denied].map((n, i) => {
          return n - [before!.sessions, before!.allowed, before!.held, before!.denied][i]!;
        }),
        [3, 6, 3, 9],
      );
      const uses = (await inventory.uses([entry!.id], ['effect'])).get(entry!.id)!;
      assert.equal(uses[0]!.count, 6);
      assert.equal((await credentials.list({ id: credential.id }))[0]!.uses, 3);
      assert.ok((await inventory.list(['agent'])).some(({ id }) => id === entry!.id));
    });
  });
}

test('what cannot be written to the store waits', async () => {
  const store = await openStore({ kind: 'sqlite', file: join(directory, 'away.db') });
  const done: Activity[] = [];
  const inventory = new Inventory(store, () => done.splice(0));
  const activity = { identity: BOT, connection: 'shop', credential: null, sessions: 1, allowed: 1, held: 0, denied: 0 };
  await store.schema.alterTable('uses').renameTo('uses_away').execute();
  done.push({ ...activity, uses: [{ aspect: 'rule', name: 'r', count: 1 }] });
  await inventory.write();
  assert.match(inventory.failure!, /no such table/);
  assert.deepEqual(await inventory.find('alice/bot'), []);
  await store.schema.alterTable('uses_away').renameTo('uses').execute();
  done.push({ ...activity, uses: [{ aspect: 'rule', name: 'r', count: 2 }] });
  await inventory.close();
  assert.equal(inventory.failure, null);
  const [entry] = await inventory.find('alice/bot');
  assert.equal(entry!.allowed, 2);
  assert.equal((await inventory.uses([entry!.id], ['rule'])).get(entry!.id)![0]!.count, 3);
  await store.destroy();
});
