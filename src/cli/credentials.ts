import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/quantity.ts';
import { ApiClient, type ApiOptions, withApiOptions } from './api-client.ts';
import { printable, seconds, table } from './terminal.ts';

/** As the API shows a credential. */
export interface ShownCredential {
  readonly credential: string;
  readonly identity: { readonly subject: string; readonly kind: string; readonly owner?: string };
  readonly connections: readonly string[] | null;
  readonly created: string;
  readonly expires: string;
  readonly state: 'live' | 'expired' | 'revoked';
  readonly last_used: string | null;
  readonly uses: number;
}

/** As the API answers who made one. */
export interface NewCredential {
  readonly credential: ShownCredential;
  readonly secret: string;
  /** Where it can be used. */
  readonly connections: readonly {
    readonly name: string;
    readonly protocol: 'postgres' | 'mysql';
    /** `host:port` */
    readonly address: string;
    readonly tls: boolean;
  }[];
}

export interface MintOptions extends ApiOptions {
  /** Milliseconds. */
  readonly ttl?: number;
  readonly agent?: string;
  readonly group: readonly string[];
}

/** Adds the options of commands that make a credential. */
export function withMintOptions(command: Command): Command {
  return withApiOptions(command)
    .option('--ttl <duration>', 'how long it lives: 15m, 8h; at most as long as your login', ttlOption)
    .option('--agent <name>', 'for an agent of yours: its sessions are YOU/NAME, of kind agent')
    .option('--group <group>', 'group of yours that the agent is in; can be given several times', collect, []);
}

/** @param connections `null` for all */
export function mint(
  client: ApiClient,
  options: MintOptions,
  connections: readonly string[] | null,
): Promise<NewCredential> {
  const { ttl, agent, group } = options;
  return client.post<NewCredential>('/credentials', {
    ...(connections !== null && { connections }),
    ...(ttl !== undefined && { ttl: Math.floor(ttl / 1000) }),
    ...(agent !== undefined && { agent: { name: agent, groups: group } }),
  });
}

export function addCredentialsCommand(program: Command): void {
  const credentials = program.command('credentials').description('Short-lived user names and secrets for databases.');
  withMintOptions(credentials.command('create'))
    .description('Makes one, and prints its secret, which nobody can see again. `sluice exec` needs no such step.')
    .argument('[connection...]', 'what it is for; left out, all connections')
    .option('--json', 'print JSON')
    .action(async (names: string[], options: MintOptions & { json?: true }) => {
      const made = await mint(await ApiClient.open(options), options, names.length === 0 ? null : names);
      if (options.json) {
        console.log(JSON.stringify(made, null, 2));
        return;
      }
      const { credential, secret, connections } = made;
      const lines = [
        ['user', credential.credential],
        ['password', secret],
        ['identity', printable(credential.identity.subject)],
        ['expires', credential.expires],
        ...connections.map(({ name, protocol, address }) => [name, `${protocol} at ${address}`]),
      ];
      console.log(lines.map(([name, value]) => `${name!.padEnd(10)}${value}`).join('\n'));
    });
  withApiOptions(credentials.command('list'))
    .description('Lists those that you made, newest first.')
    .option('--all', 'those of others, too; for auditors')
    .option('--live', 'only those that can be used now')
    .option('--json', 'print JSON')
    .action(async (options: ApiOptions & { all?: true; live?: true; json?: true }) => {
      const query = new URLSearchParams({ all: String(options.all ?? false), live: String(options.live ?? false) });
      const client = await ApiClient.open(options);
      const answer = await client.get<{ credentials: ShownCredential[] }>(`/credentials?${query}`);
      console.log(options.json ? JSON.stringify(answer, null, 2) : listText(answer.credentials));
    });
  withApiOptions(credentials.command('revoke'))
    .description('Ends one, and the sessions that logged in with it.')
    .argument('<credential>', 'its user name')
    .option('--reason <text>', 'why; whoever is ended sees it', '')
    .action(async (credential: string, options: ApiOptions & { reason: string }) => {
      const client = await ApiClient.open(options);
      const { revoked } = await revoke(client, credential, options.reason);
      console.log(revoked ? `${credential} is revoked.` : `${credential} had ended before.`);
    });
}

export function revoke(client: ApiClient, credential: string, reason: string): Promise<{ readonly revoked: boolean }> {
  return client.post(`/credentials/${encodeURIComponent(credential)}/revoke`, { reason });
}

function listText(credentials: readonly ShownCredential[]): string {
  if (credentials.length === 0) return 'No credentials.';
  return table(
    ['CREDENTIAL', 'IDENTITY', 'CONNECTIONS', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED', 'USES'],
    credentials.map((each) => [
      each.credential,
      printable(each.identity.subject),
      printable(each.connections?.join(', ') ?? 'all'),
      each.state,
      seconds(each.created),
      seconds(each.expires),
      each.last_used === null ? 'never' : seconds(each.last_used),
      String(each.uses),
    ]),
  );
}

export function ttlOption(text: string): number {
  const ttl = parseDuration(text);
  if (ttl === null || ttl < 1000) throw new InvalidArgumentError('It must be a duration such as 30m, 1h or 7d.');
  return ttl;
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
