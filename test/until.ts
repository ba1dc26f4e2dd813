import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds; long, since a machine may be busy, and nobody waits for it when all is well. */
const LIMIT_MS = 30_000;

/** What `look` finds as soon as it finds something (neither `undefined`, `null` nor `false`); fails if it never does. */
export async function until<T>(
  look: () => T | Promise<T>,
  what: string,
): Promise<Exclude<T, undefined | null | false>> {
  for (const end = Date.now() + LIMIT_MS; ; await sleep(20)) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found as never;
    assert.ok(Date.now() < end, `after ${LIMIT_MS / 1000} s: ${what}`);
  }
}
