/** Runs checks and prints one line of JSON for each, as ../README.md describes. */

export const direct = process.env.DRIVER_TARGET === 'direct';

/** Thrown by a check that says nothing about this target. */
class Skipped extends Error {}

export function needsRules(): void {
  if (direct) throw new Skipped('skipped: direct');
}

/** Runs the checks one after the other, each within 60 s; the names become kebab-case. */
export async function runChecks(checks: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  for (const [name, run] of Object.entries(checks)) {
    const check = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no end after 60 s')), 60_000);
    });
    try {
      await Promise.race([run(), timeout]);
      console.log(JSON.stringify({ check, ok: true, detail: '' }));
    } catch (error) {
      const skipped = error instanceof Skipped;
      const detail = skipped ? error.message : error instanceof Error ? error.stack : String(error);
      console.log(JSON.stringify({ check, ok: skipped, detail }));
    } finally {
      clearTimeout(timer);
    }
  }
}
