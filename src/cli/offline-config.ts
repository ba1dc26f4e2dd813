import { dirname, resolve } from 'node:path';
import { readConfigFile } from '../config/load.ts';
import type { FileConfig } from '../config/schema.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { printable } from './terminal.ts';

/** What commands that talk to no server need of a configuration, without the secrets it refers to. */
export interface OfflineConfig {
  readonly file: string;
  readonly connections: FileConfig['connections'];
  readonly users: FileConfig['identity']['users'];
  /** Absolute paths. */
  readonly rules: readonly string[];
  /** Absolute path of the journal. */
  readonly journal: string;
}

/** @throws InvalidFileError */
export async function readOfflineConfig(path: string): Promise<OfflineConfig> {
  const { file, value } = await readConfigFile(path);
  const absolute = (name: string) => resolve(dirname(file), name);
  return {
    file,
    connections: value.connections,
    users: value.identity.users,
    rules: value.rules.map(absolute),
    journal: absolute(value.recording.directory),
  };
}

/** @throws CommandFailure naming those there are */
export function connectionNamed<T extends { readonly name: string }>(
  { file, connections }: { readonly file: string; readonly connections: readonly T[] },
  name: string,
): T {
  const found = connections.find((connection) => connection.name === name);
  if (found !== undefined) return found;
  const names = connections.map((connection) => connection.name).join(', ');
  throw new CommandFailure(EXIT.usage, `${file} has no connection ${printable(name)}; it has ${names}.`);
}
