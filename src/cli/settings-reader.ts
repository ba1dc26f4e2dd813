import { loadConfig } from '../config/load.ts';
import { InvalidFileError } from '../config/yaml-file.ts';
import { loadKnownNames, loadMysqlFunctions } from '../policy/known-names.ts';
import { readRuleFiles } from '../policy/load.ts';
import type { SettingsRead } from './settings.ts';

/** What the process behind settings.ts does. Rejects with what is no mistake of the user's. */
export async function readAll(configFile: string): Promise<SettingsRead> {
  let listed: readonly string[] = [];
  try {
    const config = await loadConfig(configFile);
    listed = config.rules;
    const { sections, version } = readRuleFiles(config.rules);
    const names = { known: loadKnownNames(), mysqlFunctions: loadMysqlFunctions() };
    return { settings: { config, rules: { sections, version }, ...names } };
  } catch (error) {
    if (!(error instanceof InvalidFileError)) throw error;
    return { mistakes: error.message, rules: listed };
  }
}
