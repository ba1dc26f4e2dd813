import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type DriverProgram, type DriverReport, type DriverTarget, PROGRAMS, runProgram } from './programs.ts';

/** Checks that need a rule: a direct run reports them as skipped, a run through Sluice must not. */
const NEEDS_RULES = ['refusal', 'refusal-in-transaction'];

type Endpoint = Omit<DriverTarget, 'name' | 'protocol' | 'encrypted'>;

/** What the programs run against, once it is started. */
export interface Matrix {
  /** Where the server's own programs are, if it has any. */
  readonly binDir: string | null;
  /** The server itself, in clear. */
  direct(): Endpoint;
  /** A Sluice in front of it. */
  sluice(encrypted: boolean): Endpoint;
}

/**
 * Declares, for every program of the protocol, that it passes its checks directly, which says that they are right, and
 * through Sluice, in clear and with TLS. `started` is called when they run; a reason in its place of a matrix skips all of them and says it.
 */
export function declareMatrix(protocol: DriverTarget['protocol'], started: () => Matrix | string): void {
  for (const program of PROGRAMS.filter((each) => each.protocol === protocol)) {
    describe(program.name, () => {
      let reason: string | null = null;
      let command: readonly string[] = [];
      before(async () => {
        const matrix = started();
        if (typeof matrix === 'string') {
          reason = matrix;
          return;
        }
        const built = await program.build(matrix.binDir);
        if ('missing' in built) reason = built.missing;
        else command = built.command;
      });

      const ways = [
        { name: 'direct', encrypted: false, title: 'passes its checks directly' },
        {
          name: 'sluice',
          encrypted: false,
          title: 'passes the same and is refused what a rule refuses through Sluice',
        },
        { name: 'sluice', encrypted: true, title: 'does so with TLS on both legs' },
      ] as const;
      for (const { name, encrypted, title } of ways) {
        if (encrypted && program.clearOnly !== undefined) continue;
        test(title, async (t) => {
          const matrix = started();
          if (reason !== null || typeof matrix === 'string') return t.skip(`NOT RUN: ${reason}`);
          const reports = await runProgram(command, { name, protocol, encrypted, ...matrix[name](encrypted) });
          passes(program, reports, name === 'direct');
          for (const { check, detail } of reports) {
            if (detail.startsWith('left out: ')) t.diagnostic(`${check} ${detail}`);
          }
        });
      }
    });
  }
}

/** The same on every way: all checks there, all of them passed. */
function passes(program: DriverProgram, reports: DriverReport[], direct: boolean): void {
  assert.deepEqual(
    reports.filter((report) => !report.ok),
    [],
  );
  assert.deepEqual(
    reports.map((report) => report.check),
    program.checks,
  );
  const skipped = reports.filter((report) => report.detail.startsWith('skipped')).map((report) => report.check);
  assert.deepEqual(skipped, direct ? program.checks.filter((check) => NEEDS_RULES.includes(check)) : []);
}
