import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DriverTarget, MASKED_PROGRAMS, runProgram } from './programs.ts';

/**
 * Declares, for the drivers of the matrix that have a program for it, that they decode every row of these tables, whose
 * columns are masked.
 */
export function declareMaskedDrivers(
  protocol: DriverTarget['protocol'],
  target: () => Pick<DriverTarget, 'port' | 'user' | 'password' | 'database'>,
  tables: readonly string[],
): void {
  for (const program of MASKED_PROGRAMS) {
    if (program.protocol !== protocol) continue;
    test(`${program.name} decodes every masked row`, async (t) => {
      const built = await program.build(null);
      if ('missing' in built) return t.skip(`NOT RUN: ${built.missing}`);
      const reports = await runProgram(
        built.command,
        { name: 'sluice', protocol, encrypted: false, ca: '', ...target() },
        { MASKED_TABLES: tables.join(' ') },
      );
      assert.deepEqual(
        reports.filter(({ ok }) => !ok),
        [],
      );
      assert.deepEqual(
        reports.map(({ check }) => check),
        tables,
      );
    });
  }
}
