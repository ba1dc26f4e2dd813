import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Account } from './account.ts';

/** Kept between runs. */
const cache = join(import.meta.dirname, '../../var/test-cache');

/**
 * Makes a new server's empty data directory by `install`. Where an earlier server of the same kind got one, that is
 * copied, which takes a tenth of the time.
 *
 * @param data does not exist yet
 * @param kind all that makes the data what they are: the server's version, settings
 */
export function makeData(data: string, kind: readonly string[], account: Account | null, install: () => void): void {
  const key = createHash('sha256')
    .update(JSON.stringify([kind, account]))
    .digest('hex')
    .slice(0, 16);
  const kept = join(cache, `data-${key}`);
  if (existsSync(kept)) {
    copy(kept, data);
    return;
  }
  install();
  mkdirSync(cache, { recursive: true });
  const parts = mkdtempSync(`${kept}-`);
  try {
    copy(data, join(parts, 'data'));
    renameSync(join(parts, 'data'), kept);
  } catch (error) {
    // Another process was faster.
    if (!existsSync(kept)) throw error;
  } finally {
    rmSync(parts, { recursive: true, force: true });
  }
}

/** With owners and modes. */
function copy(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to], { stdio: ['ignore', 'ignore', 'pipe'] });
}
