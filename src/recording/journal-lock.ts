import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Tells which process writes the journal: two writers would use each other's sequence numbers. One line: process id, and
 * where there is /proc, the boot and the moment in it when the process began, since process ids come again after a boot and
 * are few in a container.
 */
const LOCK = 'journal.lock';
/** A lock without text has just been made, or its maker died between two system calls; milliseconds. */
const LOCK_WRITTEN_MS = 5_000;

/** Takes the lock of a journal. @throws Error if another process of this machine that can be seen from here has it */
export function lockJournal(directory: string): void {
  const path = join(directory, LOCK);
  for (;;) {
    try {
      writeFileSync(path, ownLock(), { mode: 0o600, flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const held = ifThere(() => readFileSync(path, 'utf8'));
    if (held === null) continue;
    if (held === '' && (ifThere(() => Date.now() - statSync(path).mtimeMs) ?? 0) < LOCK_WRITTEN_MS) {
      throw new Error('another process is about to write it');
    }
    if (isHeld(held)) throw new Error(`process ${Number.parseInt(held, 10)} writes it`);
    removeLock(path, held);
  }
}

export function unlockJournal(directory: string): void {
  rmSync(join(directory, LOCK), { force: true });
}

/** The process that writes the journal in `directory`; `null` if none does that can be seen from here. */
export function journalWriter(directory: string): number | null {
  const held = ifThere(() => readFileSync(join(directory, LOCK), 'utf8'));
  return held !== null && isHeld(held) ? Number.parseInt(held, 10) : null;
}

/** Of several that find the same lock of a dead process, one removes it, and none the lock that the first then makes. */
function removeLock(path: string, stale: string): void {
  const aside = `${path}.${randomUUID()}`;
  if (ifThere(() => renameSync(path, aside)) === null) return;
  try {
    const removed = readFileSync(aside, 'utf8');
    if (removed !== stale) writeFileSync(path, removed, { mode: 0o600, flag: 'wx' });
  } finally {
    rmSync(aside);
  }
}

function ownLock(): string {
  const boot = ifThere(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const begun = beginOf(process.pid);
  return boot === null || begun === null ? `${process.pid}\n` : `${process.pid} ${boot} ${begun}\n`;
}

function isHeld(held: string): boolean {
  const [pid = '', boot, begun] = held.trim().split(' ');
  if (!/^[1-9]\d*$/.test(pid) || Number(pid) === process.pid) return false;
  if (boot === undefined) return isAlive(Number(pid));
  return boot === ownLock().split(' ')[1] && begun === beginOf(Number(pid));
}

/** When a process began, in clock ticks since boot (proc(5), field 22 of stat); `null` if it has ended or cannot be seen. */
function beginOf(pid: number): string | null {
  const stat = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === null) return null;
  // The second field is the command in parentheses and may hold anything.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? null : (rest[18] ?? null);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** `null` if the file, or the process behind it, is not there. */
export function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
