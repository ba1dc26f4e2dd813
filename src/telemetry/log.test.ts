import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';

test('secrets are not written to the log, whatever object they are in', () => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => lines.push(line) });
  log.info({ password: 'hunter2' }, 'one');
  log.warn({ upstream: { user: 'app', password: 'hunter2' } }, 'two');
  log.error({ connection: { upstream: { password: 'hunter2' } }, users: [{ scram: 'hunter2' }] }, 'three');
  assert.equal(lines.length, 3);
  assert.ok(
    lines.every((line) => !line.includes('hunter2')),
    lines.join(''),
  );
  assert.match(lines[1]!, /"level":"warn".*"user":"app","password":"\[redacted\]".*"msg":"two"/);
});

test('lines below the level are not written', () => {
  const lines: string[] = [];
  const log = createLog('warn', { write: (line) => lines.push(line) });
  log.info('quiet');
  log.warn('loud');
  assert.equal(lines.length, 1);
});
