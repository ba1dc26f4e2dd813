import type { Command } from 'commander';
import { connect } from '../catalog/service-connection.ts';
import { writeSnapshot } from '../catalog/snapshot.ts';
import { loadConfig } from '../config/load.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { connectionNamed } from './offline-config.ts';
import { printable } from './terminal.ts';

interface CatalogOptions {
  readonly config: string;
  readonly output?: string;
  readonly json?: true;
}

export function addRulesCatalog(rules: Command): void {
  rules
    .command('catalog')
    .description('Writes what the schema of a connection looks like to a file, for check, test and explain.')
    .argument('<connection>', 'connection')
    .option('-c, --config <file>', 'configuration file', 'sluice.yaml')
    .option('-o, --output <file>', 'file to write (default: CONNECTION.catalogue.json)')
    .option('--json', 'print JSON')
    .action(async (name: string, options: CatalogOptions) => {
      const { protocol, upstream } = connectionNamed(await loadConfig(options.config), name);
      const file = options.output ?? `${name}.catalogue.json`;
      const data = await reached(name, async () => {
        const service = await connect({ protocol, ...upstream });
        try {
          return await service.readCatalogue();
        } finally {
          await service.close();
        }
      });
      await writeSnapshot(file, data);
      const { dialect, serverVersion, relations, functions, unseen } = data;
      if (options.json) {
        const counts = { relations: relations.length, functions: functions.length };
        console.log(JSON.stringify({ file, dialect, serverVersion, ...counts, unseen }));
        return;
      }
      console.log(
        `${file}: ${relations.length} relations and ${functions.length} functions, ${dialect} ${serverVersion}.`,
      );
      for (const one of unseen) console.log(`not seen: ${printable(one)}`);
    });
}

async function reached<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    throw new CommandFailure(EXIT.unreachable, `The catalogue of ${name} cannot be read: ${message || code}`);
  }
}
