import module from 'node:module';
import type { Command } from 'commander';
import { EXIT } from './failure.ts';
import { Serving } from './serving.ts';
import { onStopSignals } from './stop-signals.ts';

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('Runs Sluice. SIGHUP reloads the rules, SIGTERM and SIGINT drain, a second one ends at once.')
    .option('-c, --config <file>', 'configuration file', 'sluice.yaml')
    .option('--shadow', 'refuse and mask nothing; record what rules and defaults would have done')
    .action(async (options: { config: string; shadow?: true }) => {
      const serving = await Serving.start(options.config, options.shadow);
      process.on('SIGHUP', () => void serving.reload('signal'));
      const stopped = signalledToStop(serving);
      // Only now: a signal that came before its handler would kill the process.
      serving.announce();
      // Node writes what it compiled when it ends well; this process may be killed, and the next would have to do it again.
      module.flushCompileCache();
      await stopped;
    });
}

/** Resolves when a signal has ended everything. */
function signalledToStop(serving: Serving): Promise<void> {
  return new Promise((resolve, reject) => {
    onStopSignals(
      (signal) => {
        serving.log.info({ signal }, 'draining; a second signal ends at once');
        serving.drain().then(resolve, reject);
      },
      (signal) => {
        serving.log.warn({ signal }, 'ending at once');
        // The drain may still wait for its limit, and has nothing left to wait for.
        serving.end().then(() => process.exit(EXIT.ok), reject);
      },
    );
  });
}
