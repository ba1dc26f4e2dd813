import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { cpuMicroseconds, cpuTicks, residentBytes } from './process-usage.ts';

test('CPU ticks are read past a command name with spaces and parentheses', () => {
  const line = '42 (a) b (c)) S 1 42 42 0 -1 4194304 101 0 0 0 7 5 3 1 20 0 1 0 100516 3133440 389';
  assert.equal(cpuTicks(line), 16);
});

test('a line that is not of /proc/PID/stat is an error', () => {
  assert.throws(() => cpuTicks('42 (short) S 1'), /not a line/);
});

test('CPU time of a busy process grows by about the time it was busy', () => {
  const before = cpuMicroseconds(process.pid);
  const { user, system } = process.cpuUsage();
  while (process.cpuUsage().user - user + process.cpuUsage().system - system < 200_000);
  const used = cpuMicroseconds(process.pid) - before;
  assert.ok(used >= 180_000 && used <= 260_000, `${used} us`);
});

test('children count with their parent', async () => {
  const alone = residentBytes(process.pid);
  const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)']);
  await once(child.stdout, 'data');
  try {
    assert.ok(residentBytes(process.pid) > alone + residentBytes(child.pid!) * 0.8);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('a process that does not exist is an error, not zero', () => {
  assert.throws(() => cpuMicroseconds(2 ** 30));
  assert.throws(() => residentBytes(2 ** 30));
});
