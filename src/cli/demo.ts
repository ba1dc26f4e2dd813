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
  process.on('SIGHUP', () => stopping.abort());
  console.log('Starting PostgreSQL with sample data ...');
  try {
    const demo = await startDemo((configFile) => Serving.start(configFile), stopping.signal);
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
