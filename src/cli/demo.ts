import type { Command } from 'commander';
import { demoText, startDemo } from '../demo/demo.ts';
import { EXIT } from './failure.ts';
import { Serving } from './serving.ts';

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
  const stopped = new Promise<void>((resolve) => {
    const stop = () => {
      // A second signal does not wait; the guards of the temporary directories clean up after us.
      if (stopping.signal.aborted) process.exit(EXIT.problem);
      stopping.abort();
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  });
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
