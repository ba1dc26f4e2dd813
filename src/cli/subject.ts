import { type Command, Option } from 'commander';
import type { UserConfig } from '../config/config.ts';
import type { Subject } from '../policy/decide.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { printable } from './terminal.ts';

/** Who is meant by `--as`, `--kind` and `--groups`. */
export interface SenderOptions {
  readonly as: string;
  readonly groups?: string;
  readonly kind?: 'human' | 'agent' | 'service';
}

export function senderOptions(command: Command): Command {
  return command
    .requiredOption('--as <name>', 'who sends it: a user of the configuration, or a name with --kind and --groups')
    .addOption(new Option('--kind <kind>', 'what the identity is').choices(['human', 'agent', 'service']))
    .option('--groups <names>', 'groups of the identity, with commas');
}

/** The users of a configuration, whether or not its secrets were read. */
interface KnownUsers {
  readonly file: string;
  readonly users: readonly Pick<UserConfig, 'name' | 'kind' | 'groups'>[];
}

/**
 * @param config `null` where no configuration is read
 * @throws CommandFailure if the identity is not known and not described
 */
export function senderOf({ as: subject, groups, kind }: SenderOptions, config: KnownUsers | null): Subject['identity'] {
  const user = config?.users.find(({ name }) => name === subject);
  const known = kind ?? user?.kind;
  if (known === undefined) {
    const message =
      config === null
        ? 'With --rules, say with --kind what the identity is: human, agent or service.'
        : `${config.file} has no user ${printable(subject)}; say with --kind what else it is.`;
    throw new CommandFailure(EXIT.usage, message);
  }
  return { subject, kind: known, groups: groups?.split(',').map((name) => name.trim()) ?? user?.groups ?? [] };
}
