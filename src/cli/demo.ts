import { once } from 'node:events';
import type { Command } from 'commander';
import { demoText, startDemo } from '../demo/demo.ts';
import { EXIT } from './failure.ts';
import { Serving } from './serving.ts';
import { onStopSignals } from './stop-signals.ts';

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'Runs Sluice in front of a throw-away PostgreSQL with sample data; Ctrl-C ends it and leaves nothing behind.',
    )
    .action(runDemo);
}

async function runDemo(): Promise<void> {
  const stopping = new AbortController();
  const stopped = once(stopping.signal, 'abort');
  onStopSignals(
    () => stopping.abort(),
    // Not waiting: the guards of the temporary directories clean up after us.
    () => process.exit(EXIT.problem),
  );
  let serving: Serving | null = null;
  process.on('SIGHUP', async () => {
    await serving?.reload('signal');
    // A terminal that was closed sends the signal, too. It takes no line any more, which ends the process.
    console.log('The rules were read again.');
  });
  console.log('Starting PostgreSQL with sample data ...');
  try {
    const demo = await startDemo(async (configFile) => {
      serving = await Serving.start(configFile);
      return serving;
    }, stopping.signal);
    console.log(`\n${demoText(demo)}`);
    await stopped;
    console.log('\nEnding the demo ...');
    await demo.stop();
    console.log('Everything it made is removed.');
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    console.log('\nEnded before it had started; everything it made is removed.');
  }
}
