import { fork } from 'node:child_process';
import type { Config } from '../config/config.ts';
import type { RuleFiles } from '../policy/load.ts';
import type { FunctionClass, KnownNames } from '../statements/postgres/functions.ts';
import { CommandFailure, EXIT } from './failure.ts';

/** What `sluice serve` takes from its files, checked, as plain data. */
export interface Settings {
  readonly config: Config;
  readonly rules: Pick<RuleFiles, 'sections' | 'version'>;
  readonly known: KnownNames;
  readonly mysqlFunctions: ReadonlyMap<string, FunctionClass>;
}

/** What the other process sends, once: all of it, or what the user has to know of what is wrong. */
export type SettingsRead =
  | { readonly settings: Settings }
  | { readonly mistakes: string; readonly rules: readonly string[] };

/** Every mistake in sluice.yaml and the rule files. */
export class InvalidSettings extends CommandFailure {
  /** The rule files that sluice.yaml lists; none if it cannot be read itself. */
  readonly rules: readonly string[];

  constructor(mistakes: string, rules: readonly string[]) {
    super(EXIT.usage, mistakes);
    this.rules = rules;
  }
}

const READER = new URL('./settings-reader.js', import.meta.url);

/**
 * Reads and checks sluice.yaml, the rule files it lists, and the names that ship, in a process that ends when it has. What
 * that takes (YAML, schemas, and the memory to work in: 30 MB) goes with it, and statements do not wait for a reload.
 *
 * @throws InvalidSettings; Error if the process cannot be run
 */
export function readSettings(configFile: string): Promise<Settings> {
  return new Promise((resolve, reject) => {
    const reader = fork(READER, [configFile], { serialization: 'advanced', execArgv: [] });
    let read: SettingsRead | null = null;
    reader.on('message', (message: SettingsRead) => {
      read = message;
    });
    reader.on('error', reject);
    reader.on('close', (code, signal) => {
      if (read === null) reject(new Error(`the process that reads the settings ended with ${code ?? signal}`));
      else if ('settings' in read) resolve(read.settings);
      else reject(new InvalidSettings(read.mistakes, read.rules));
    });
  });
}
