import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNativeVerifier, formatNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { Approvals } from '../approvals/approvals.ts';
import { Outbox } from '../approvals/outbox.ts';
import type { ApprovalChannelConfig, SlackChannelConfig, UserConfig } from '../config/config.ts';
import { Access } from '../identity/access.ts';
import { Backoff } from '../identity/backoff.ts';
import { Credentials } from '../identity/credentials.ts';
import { type Activity, Inventory } from '../identity/inventory.ts';
import { LastLogins } from '../identity/last-logins.ts';
import { Logins } from '../identity/logins.ts';
import { PasswordCheck } from '../identity/password-check.ts';
import { Users } from '../identity/users.ts';
import { openStore, type Store } from '../store/store.ts';
import { createLog } from '../telemetry/log.ts';
import type { ApiServices } from './services.ts';

/** What tests of the API work with: a store of their own, and a user for every role. Their passwords are `secret`. */
export interface TestServices {
  readonly services: ApiServices;
  /** What sessions did, for the inventory to take. */
  readonly activities: Activity[];
  readonly store: Store;
  /** Records that were written. */
  readonly records: Record<string, unknown>[];
  close(): Promise<void>;
}

const ROLES = ['viewer', 'approver', 'auditor', 'admin'] as const;
const mysql_native = formatNativeVerifier(createNativeVerifier('secret'));
const USERS: readonly UserConfig[] = [
  ...ROLES.map((role) => ({ name: role, kind: 'human' as const, groups: [role], mysql_native })),
  { name: 'nobody', kind: 'human', groups: [], mysql_native },
  { name: 'robot', kind: 'service', groups: [...ROLES], mysql_native },
  { name: 'certified', kind: 'human', groups: [...ROLES], mysql_native, certificates: ['CN=certified'] },
  { name: 'agent', kind: 'agent', groups: [...ROLES], mysql_native },
];

/** Nothing is there at its address. */
export const SLACK: SlackChannelConfig = {
  to: 'slack',
  name: 'slack',
  connections: null,
  team: 'T0001',
  conversation: 'C0001',
  botToken: 'xoxb-1',
  signingSecret: 'signing secret',
  api: 'http://127.0.0.1:9/api',
  statements: false,
  emailIssuer: null,
  users: new Map([['U0001', { issuer: null, subject: 'approver' }]]),
  loginWithinMs: 3_600_000,
};

export async function testServices(
  changes: Partial<ApiServices> = {},
  channels: readonly ApprovalChannelConfig[] = [SLACK],
): Promise<TestServices> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-api-'));
  const store = await openStore({ kind: 'sqlite', file: join(directory, 'sluice.db') });
  const access = await Access.open(store);
  const activities: Activity[] = [];
  const inventory = new Inventory(store, () => activities.splice(0));
  const outbox = new Outbox({ breakGlass: [], url: 'https://sluice.example', channels }, store, (id) =>
    approvals.request(id),
  );
  const approvals: Approvals = new Approvals({
    store,
    ended: () => null,
    preview: null,
    announce: (transaction, event) => outbox.announce(transaction, event),
    failed: (what, error) => {
      throw new Error(`${what}: ${error.message}`);
    },
  });
  const records: Record<string, unknown>[] = [];
  const users = new Users(USERS);
  const upstream = { host: 'db', port: 1, database: 'd', user: 'u', password: null, tls: 'disable', ca: null } as const;
  const services: ApiServices = {
    config: {
      connections: [
        { name: 'shop', protocol: 'postgres', upstream, default: 'deny' },
        { name: 'stock', protocol: 'mysql', upstream, default: 'deny' },
      ],
      tls: null,
      oidc: [],
      longestCredentialMs: 7_200_000,
      approvals: { breakGlass: ['admin'], url: null, channels: [] },
    },
    listening: { postgres: { host: '127.0.0.1', port: 6432 }, mysql: { host: '127.0.0.1', port: 6306 } },
    roles: { viewer: ['viewer'], approver: ['approver'], auditor: ['auditor'], admin: ['admin'] },
    passwords: new PasswordCheck(users),
    logins: new Logins(store),
    lastLogins: new LastLogins(store),
    outbox,
    store,
    users,
    tokens: null,
    access,
    backoff: new Backoff(),
    credentials: new Credentials(store),
    approvals,
    sample: async () => ({ columns: null, rows: null, none: 'There is no database.' }),
    saml: null,
    inventory,
    grantsFor: () => ['reads', 'writes'],
    log: createLog('fatal'),
    sessions: () => [],
    node: '00000000-0000-4000-8000-000000000001',
    recordIndex: async () => null,
    indexLag: () => null,
    reload: async () => null,
    recordingFailure: () => null,
    isUser: () => false,
    record: (event, fields) => records.push({ event, ...fields }),
    ...changes,
  };
  return {
    services,
    activities,
    store,
    records,
    close: async () => {
      await approvals.close();
      await inventory.close();
      await access.close();
      await store.destroy();
      rmSync(directory, { recursive: true });
    },
  };
}
