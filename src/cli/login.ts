import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { ApiClient, type ApiOptions, withApiAddress } from './api-client.ts';
import { CommandFailure, EXIT } from './failure.ts';
import type { Flow } from './oidc-login.ts';
import { type Provider, type SavedLogin, saveLogin } from './saved-logins.ts';
import { printable } from './terminal.ts';

interface LoginOptions extends ApiOptions {
  readonly issuer?: string;
  readonly saml?: true;
  readonly device?: true;
  readonly clientCredentials?: string;
  readonly exchange?: string;
  readonly browser: boolean;
}

/** What the API says of logging in. */
interface WaysIn {
  readonly providers: readonly Provider[];
  readonly saml: boolean;
}

export function addLoginCommand(program: Command): void {
  const ways = ['saml', 'device', 'clientCredentials', 'exchange'];
  const way = (option: Option): Option => option.conflicts(ways.filter((name) => name !== option.attributeName()));
  withApiAddress(program.command('login'))
    .description(
      'Logs in at the OpenID provider or SAML identity provider of a running Sluice, for the commands that ask its API. The login is kept in a file that nobody else can read.',
    )
    .option('--issuer <address>', 'which OpenID provider, where there are several')
    .addOption(way(new Option('--saml', 'by SAML, with the browser')))
    .addOption(way(new Option('--device', 'by a code that is entered on any device')))
    .addOption(
      way(
        new Option(
          '--client-credentials <id>',
          'as the OAuth client of this id; its secret is in $SLUICE_CLIENT_SECRET',
        ),
      ),
    )
    .addOption(
      way(
        new Option('--exchange <file>', 'exchanges the token in a file, such as that of a Kubernetes service account'),
      ),
    )
    .option('--no-browser', 'only tell the address, do not open it')
    .action(async (options: LoginOptions) => {
      const client = await ApiClient.anonymous(options);
      const login = await loginWith(client, options);
      const { identity } = await ApiClient.withToken(client.origin, login.token).get<{
        identity: { subject: string; kind: string; groups: string[] };
      }>('/me');
      await saveLogin(client.origin, login);
      const groups = identity.groups.length === 0 ? '' : `, in ${identity.groups.join(', ')}`;
      const until = login.expiresAt === null ? '' : ` until ${new Date(login.expiresAt).toISOString()}`;
      const renewed = login.refresh === undefined ? '' : ', renewed by itself';
      console.log(
        printable(
          `Logged in at ${client.origin} as ${identity.subject} (${identity.kind}${groups})${until}${renewed}.`,
        ),
      );
    });
}

async function loginWith(client: ApiClient, options: LoginOptions): Promise<SavedLogin> {
  const { providers, saml } = await client.get<WaysIn>('/login');
  const forPeople = providers.filter((provider) => provider.client !== null);
  if (options.saml || (saml && options.issuer === undefined && forPeople.length === 0 && !isForPrograms(options))) {
    if (!saml) throw new CommandFailure(EXIT.problem, 'There is no login by SAML here.');
    const { loginBySaml } = await import('./saml-login.ts');
    return loginBySaml(client, options.browser);
  }
  const flow = await flowOf(options);
  const provider = chosen(flow.by === 'client credentials' ? providers : forPeople, options.issuer);
  const { loginAt } = await import('./oidc-login.ts');
  return loginAt(provider, flow);
}

function isForPrograms({ clientCredentials, exchange, device }: LoginOptions): boolean {
  return (clientCredentials ?? exchange ?? device) !== undefined;
}

async function flowOf({ device, clientCredentials, exchange, browser }: LoginOptions): Promise<Flow> {
  if (device) return { by: 'device' };
  if (clientCredentials !== undefined) {
    const secret = process.env.SLUICE_CLIENT_SECRET;
    if (!secret) throw new CommandFailure(EXIT.usage, 'The secret of the client has to be in $SLUICE_CLIENT_SECRET.');
    return { by: 'client credentials', client: clientCredentials, secret };
  }
  if (exchange !== undefined) {
    const token = await readFile(exchange, 'utf8').catch((error: NodeJS.ErrnoException) => {
      throw new CommandFailure(EXIT.usage, `${exchange} cannot be read: ${error.code}`);
    });
    return { by: 'token exchange', token: token.trim() };
  }
  return { by: 'browser', opens: browser };
}

function chosen(providers: readonly Provider[], issuer: string | undefined): Provider {
  const fitting = providers.filter((provider) => issuer === undefined || provider.issuer === issuer);
  const [provider] = fitting;
  if (provider !== undefined && fitting.length === 1) return provider;
  const known = providers.map((one) => printable(one.issuer)).join(', ') || 'none';
  throw new CommandFailure(
    provider === undefined ? EXIT.problem : EXIT.usage,
    provider === undefined
      ? `There is no such OpenID provider to log in at here; there are: ${known}.`
      : `There are several OpenID providers: choose one with --issuer. They are ${known}.`,
  );
}
