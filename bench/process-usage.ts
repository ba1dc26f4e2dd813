/** CPU time and memory of a process and its descendants, from Linux's /proc. proc(5) describes the fields. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const MICROSECONDS_PER_TICK = 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/**
 * User and system CPU time used so far, in microseconds, by every thread of the process, its live descendants, and the
 * ended ones that were waited for. Throws if the process does not exist: a contender that died must not look cheap.
 */
export function cpuMicroseconds(pid: number): number {
  let ticks = 0;
  for (const member of processTree(pid)) ticks += cpuTicks(readFileSync(`/proc/${member}/stat`, 'utf8'));
  return ticks * MICROSECONDS_PER_TICK;
}

/** Resident memory in bytes of the process and its live descendants. Throws if the process does not exist. */
export function residentBytes(pid: number): number {
  let kibibytes = 0;
  for (const member of processTree(pid)) {
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${member}/status`, 'utf8'));
    if (resident === null) throw new Error(`process ${member} has no resident memory: it has ended`);
    kibibytes += Number(resident[1]);
  }
  return kibibytes * 1024;
}

/** utime + stime + cutime + cstime of one line of /proc/PID/stat, in clock ticks. */
export function cpuTicks(statLine: string): number {
  // The second field is the command in parentheses and may hold anything, spaces and parentheses too.
  const fields = statLine.slice(statLine.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].map((index) => Number(fields[index])).reduce((sum, value) => sum + value, 0);
  if (!Number.isFinite(ticks)) throw new Error(`not a line of /proc/PID/stat: ${statLine}`);
  return ticks;
}

function processTree(root: number): number[] {
  const members = [root];
  for (const member of members) {
    for (const thread of readdirSync(`/proc/${member}/task`)) {
      const children = readFileSync(`/proc/${member}/task/${thread}/children`, 'utf8').trim();
      if (children !== '') members.push(...children.split(' ').map(Number));
    }
  }
  return members;
}
