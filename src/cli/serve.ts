import type { Command } from 'commander';
import { EXIT } from './failure.ts';
import { Serving } from './serving.ts';

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('Runs Sluice. SIGHUP reloads the rules, SIGTERM and SIGINT drain, a second one ends at once.')
    .option('-c, --config <file>', 'configuration file', 'sluice.yaml')
    .action(async (options: { config: string }) => {
      const serving = await Serving.start(options.config);
      process.on('SIGHUP', () => void serving.reload());
      await signalledToStop(serving);
    });
}

/** Resolves when a signal has ended everything. */
function signalledToStop(serving: Serving): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const stop = (signal: string) => {
      if (!stopping) {
        stopping = true;
        serving.log.info({ signal }, 'draining; a second signal ends at once');
        serving.drain().then(resolve, reject);
      } else {
        serving.log.warn({ signal }, 'ending at once');
        serving.end().then(
          // A drain that still waits for its limit has nothing left to wait for.
          () => process.exit(EXIT.ok),
          reject,
        );
      }
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
