import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { question, TICKET_ONLY } from '../src/approvals/test-requests.ts';
import { Access } from '../src/identity/access.ts';
import { identityId } from '../src/identity/identity.ts';
import { Approver } from './approver.ts';
import { ownPort } from './servers/free-port.ts';
import { type Sluice, serveAgain, startSluice } from './sluice.ts';
import { until } from './until.ts';

/** `sluice approvals watch` while Sluice is killed and started again. Requests are made at another node: through the store. */

const directory = mkdtempSync(join(tmpdir(), 'sluice-watch-'));
const storeFile = join(directory, 'store.db');
let sluice: Sluice;
let approver: Approver;

before(async () => {
  const upstream = { host: '127.0.0.1', port: 1, database: 'shop', user: 'app', password: 'secret' };
  sluice = await startSluice({
    connections: [{ name: 'shop', upstream }],
    users: [
      { name: 'dana', password: 'secret', kind: 'human', groups: ['dba'] },
      { name: 'vic', password: 'secret', kind: 'human', groups: ['watchers'] },
    ],
    roles: { approver: ['dba'], viewer: ['watchers'] },
    store: `sqlite:${storeFile}`,
    apiPort: await ownPort(),
  });
  approver = await Approver.open(storeFile);
});
after(async () => {
  await approver?.close();
  await sluice?.stop();
  rmSync(directory, { recursive: true });
});

interface Watch {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  lines(): { readonly request: number; readonly state: string }[];
  errors(): string;
}

function watch(user: string): Watch {
  const program = join(import.meta.dirname, '../src/cli/sluice.js');
  const own = ['--api', `127.0.0.1:${sluice.apiPort}`, '--user', user, '--json'];
  const child = spawn(process.execPath, [program, 'approvals', 'watch', ...own], {
    env: { PATH: process.env.PATH, SLUICE_PASSWORD: 'secret' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return {
    child,
    exited: once(child, 'exit').then(([code]) => code as number | null),
    lines: () =>
      output
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    errors: () => errors,
  };
}

async function ask(text: string): Promise<number> {
  const one = question({ approvals: [TICKET_ONLY] }, { statement: text });
  const ruling = await approver.approvals.rule(one, () => undefined, new AbortController().signal);
  assert.equal(ruling.kind, 'ticket');
  return (ruling as { request: number }).request;
}

test('watching goes on where it was when Sluice was killed and started again, and ends when the login does', async () => {
  const dana = watch('dana');
  const vic = watch('vic');
  const watches = [dana, vic];
  let asked = 0;
  // They listen once they are told of anything.
  await until(async () => {
    await ask(`SELECT ${++asked}`);
    await sleep(200);
    return watches.every(({ lines }) => lines().length > 0);
  }, 'both listen');
  const known = await ask('DELETE FROM orders');
  const told = (id: number, state: string) => () =>
    watches.every(({ lines }) => lines().some((line) => line.request === id && line.state === state));
  await until(told(known, 'pending'), 'the request is told');

  sluice.signal('SIGKILL');
  await sluice.exited;
  const nobody = watch('vic');
  assert.equal(await nobody.exited, 3);
  assert.match(nobody.errors(), /^No answer from .*ECONNREFUSED\n$/);
  await until(() => watches.every(({ errors }) => /Trying again in \d+\.\d s\.\n/.test(errors())), 'they try again');
  await approver.reject(known, 'no');
  const missed = await ask('UPDATE orders SET state = 1');
  const again = await serveAgain(sluice.configFile);
  try {
    await until(told(known, 'rejected'), 'the decision is told');
    await until(told(missed, 'pending'), 'what was asked meanwhile is told');
    for (const { lines, errors } of watches) {
      assert.match(errors(), /Connected again\.\n$/);
      const all = lines().map(({ request, state }) => `${request} ${state}`);
      assert.deepEqual(all, [...new Set(all)], 'nothing is told twice');
    }

    const access = await Access.open(approver.store);
    const identity = { subject: 'dana', kind: 'human' as const, groups: [] };
    assert.ok(await access.setState(identityId(identity), 'locked', 'admin', 'left'));
    await access.close();
    assert.equal(await dana.exited, 1);
    assert.match(dana.errors(), /The login is not accepted\. .*\n$/);
    await approver.approvals.vote(
      missed,
      {
        identity: { ...identity, subject: 'eve', groups: ['dba'] },
        isApprover: true,
        mayBreakGlass: false,
        inPlaceOf: [],
      },
      'reject',
      { reason: 'no', channel: 'api' },
    );
    await until(
      () => vic.lines().some(({ request, state }) => request === missed && state === 'rejected'),
      'vic hears',
    );
    vic.child.kill('SIGINT');
    assert.equal(await vic.exited, 0);
  } finally {
    await again.end();
  }
});
