import type { Command } from 'commander';
import type { Readiness } from '../api/readiness.ts';
import { formatAddress } from '../config/address.ts';
import { readConfigFile } from '../config/load.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { printable, styled, table } from './terminal.ts';

/** A probe of an upstream that does not answer takes two seconds. */
const DEADLINE_MS = 10_000;

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description(
      'Asks a running Sluice whether it is ready: journal, rules, upstreams; and how far exporters are behind.',
    )
    .option('-c, --config <file>', 'configuration file, for the address of the API', 'sluice.yaml')
    .option('--api <host:port>', 'address of the API; no configuration file is read')
    .option('--json', 'print JSON')
    .action(async (options: { config: string; api?: string; json?: true }) => {
      const readiness = await ask(options.api ?? (await configuredApi(options.config)));
      if (options.json) {
        console.log(JSON.stringify(readiness, null, 2));
      } else {
        const rows = readiness.checks.map(({ check, ok, reason }) => [
          printable(check),
          ok ? 'ok' : 'NOT OK',
          printable(reason ?? ''),
        ]);
        console.log(table(['CHECK', 'STATE', 'REASON'], rows));
        if (readiness.followers.length > 0) console.log(`\n${followersText(readiness.followers)}\n`);
        for (const warning of readiness.warnings) console.log(`warning: ${printable(warning)}`);
        console.log(readiness.ready ? styled('green', 'ready') : styled('red', 'not ready'));
      }
      if (!readiness.ready) process.exitCode = EXIT.problem;
    });
}

function followersText(followers: Readiness['followers']): string {
  const rows = followers.map(({ follower, lagRecords, lagBytes, lagSeconds, reason }) => [
    printable(follower),
    reason === null ? 'ok' : 'FAILING',
    String(lagRecords),
    String(lagBytes),
    `${lagSeconds.toFixed(1)}s`,
    printable(reason ?? ''),
  ]);
  return table(['FOLLOWS THE JOURNAL', 'STATE', 'RECORDS BEHIND', 'BYTES', 'FOR', 'REASON'], rows);
}

async function configuredApi(config: string): Promise<string> {
  const { file, value } = await readConfigFile(config);
  if (value.listen.api === undefined) throw new CommandFailure(EXIT.usage, `${file} has no listen.api to ask.`);
  return formatAddress(value.listen.api);
}

async function ask(api: string): Promise<Readiness> {
  const url = `http://${api}/readyz`;
  if (!URL.canParse(url)) throw new CommandFailure(EXIT.usage, `${api} is not host:port.`);
  let body: unknown;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
    body = await response.json();
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    throw new CommandFailure(EXIT.unreachable, `No answer from ${url}: ${cause?.code ?? (error as Error).message}`);
  }
  if (!isReadiness(body)) throw new CommandFailure(EXIT.unreachable, `What answers at ${url} is not Sluice.`);
  return body;
}

function isReadiness(body: unknown): body is Readiness {
  const { ready, checks, followers, warnings } = (body ?? {}) as Partial<Readiness>;
  return (
    typeof ready === 'boolean' &&
    Array.isArray(checks) &&
    Array.isArray(followers) &&
    Array.isArray(warnings) &&
    checks.every(
      ({ check, ok, reason }) =>
        typeof check === 'string' && typeof ok === 'boolean' && (reason === null || typeof reason === 'string'),
    )
  );
}
