import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { InvalidFileError } from '../config/yaml-file.ts';
import { EXIT } from './failure.ts';

export function addConfigCommand(program: Command): void {
  const config = program.command('config').description('The configuration file.');
  config
    .command('check')
    .description('Checks a configuration file and the secrets and files it refers to; lists everything that is wrong.')
    .option('-c, --config <file>', 'configuration file', 'sluice.yaml')
    .option('--json', 'print JSON')
    .action(async (options: { config: string; json?: true }) => {
      try {
        const { file, warnings } = await loadConfig(options.config);
        if (options.json) {
          console.log(JSON.stringify({ ok: true, file, problems: [], warnings }));
        } else {
          console.log(`${file} is fine.`);
          for (const warning of warnings) console.log(`warning: ${warning}`);
        }
      } catch (error) {
        if (!(error instanceof InvalidFileError) || !options.json) throw error;
        console.log(JSON.stringify({ ok: false, problems: error.problems, warnings: [] }));
        process.exitCode = EXIT.usage;
      }
    });
}
