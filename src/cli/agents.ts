import { type Command, Option } from 'commander';
import { ApiClient, type ApiOptions, withApiOptions } from './api-client.ts';
import { durationOption } from './duration-option.ts';
import { printable, seconds, styled, table } from './terminal.ts';

interface Grant {
  readonly connection: string;
  readonly rule: string;
}

interface Agent {
  readonly id: string;
  readonly identity: {
    readonly subject: string;
    readonly kind: string;
    readonly groups: readonly string[];
    readonly issuer?: string;
    readonly owner?: string;
  };
  readonly state: 'active' | 'locked' | 'retired';
  readonly state_changed: { readonly at: string; readonly by: string; readonly reason: string } | null;
  readonly first_seen: string;
  readonly first_used: string | null;
  readonly last_used: string | null;
  readonly sessions: number;
  readonly statements: { readonly allowed: number; readonly held: number; readonly denied: number };
  readonly clients: readonly string[];
  readonly credentials: {
    readonly live: number;
    readonly oldest: string | null;
    readonly last_expiry: string | null;
    readonly lasting: boolean;
  };
  readonly stale: readonly string[];
  readonly unused_grants: readonly Grant[];
}

interface Use {
  readonly connection: string;
  readonly name: string;
  readonly count: number;
  readonly last: string;
}

interface AgentDetail extends Agent {
  readonly grants: readonly (Grant & { readonly last: string | null })[];
  readonly effects: readonly Use[];
}

interface ListOptions extends ApiOptions {
  readonly kind?: string;
  /** Milliseconds. */
  readonly unusedFor?: number;
  readonly stale?: true;
  readonly overPrivileged?: true;
  readonly json?: true;
}

const DAY_MS = 24 * 3_600_000;

export function addAgentsCommand(program: Command): void {
  const agents = program.command('agents').description('The agents there are, what they did, and their end.');
  withApiOptions(agents.command('list'))
    .description('Lists agents and services, whoever was used last first.')
    .addOption(new Option('--kind <kind>', 'only these').choices(['agent', 'service', 'human', 'all']))
    .option('--stale', 'only those that look as if nobody needs them any more')
    .option('--over-privileged', 'only those that may do what they do not')
    .option('--unused-for <duration>', 'how long ago a use still counts; 30d if left out', durationOption('12h or 30d'))
    .option('--json', 'print JSON')
    .action(async (options: ListOptions) => {
      const client = await ApiClient.open(options);
      const answer = await client.get<{ agents: Agent[] }>(`/agents?${queryOf(options)}`);
      console.log(options.json ? JSON.stringify(answer, null, 2) : listText(answer.agents));
    });
  withApiOptions(agents.command('show'))
    .description('Shows one: what it may do, and what it did.')
    .argument('<agent>', 'its name, or its id')
    .option('--unused-for <duration>', 'how long ago a use still counts; 30d if left out', durationOption('12h or 30d'))
    .option('--json', 'print JSON')
    .action(async (agent: string, options: ListOptions) => {
      const client = await ApiClient.open(options);
      const detail = await client.get<AgentDetail>(`/agents/${encodeURIComponent(agent)}?${queryOf(options)}`);
      console.log(options.json ? JSON.stringify(detail, null, 2) : showText(detail));
    });
  const changes = [
    ['lock', 'Locks one: it cannot log in, its sessions end, and so do those of what it owns.'],
    ['unlock', 'Takes a lock back.'],
    ['retire', 'Ends one for good, with its credentials.'],
  ] as const;
  for (const [verb, description] of changes) {
    withApiOptions(agents.command(verb))
      .description(description)
      .argument('<agent>', 'its name, or its id')
      .option('--reason <text>', 'why; whoever is ended sees it', '')
      .action(async (agent: string, options: ApiOptions & { reason: string }) => {
        const client = await ApiClient.open(options);
        const { reason } = options;
        const path = `/agents/${encodeURIComponent(agent)}/${verb}`;
        const { subject, state } = await client.post<{ subject: string; state: string }>(path, { reason });
        console.log(`${printable(subject)} is ${state}.`);
      });
  }
}

function queryOf({ kind, unusedFor, stale, overPrivileged }: ListOptions): URLSearchParams {
  return new URLSearchParams({
    ...(kind !== undefined && { kind }),
    ...(unusedFor !== undefined && { days: String(unusedFor / DAY_MS) }),
    ...(stale && { stale: 'true' }),
    ...(overPrivileged && { over_privileged: 'true' }),
  });
}

function listText(agents: readonly Agent[]): string {
  if (agents.length === 0) return 'No agents.';
  return table(
    [
      'AGENT',
      'OWNER',
      'STATE',
      'FIRST SEEN',
      'LAST USED',
      'CREDENTIALS',
      'ALLOWED',
      'HELD',
      'DENIED',
      'CLIENTS',
      'NOTES',
    ],
    agents.map((agent) => [
      printable(agent.identity.subject),
      printable(agent.identity.owner ?? ''),
      agent.state,
      day(agent.first_seen),
      agent.last_used === null ? 'never' : seconds(agent.last_used),
      String(agent.credentials.live),
      String(agent.statements.allowed),
      String(agent.statements.held),
      String(agent.statements.denied),
      printable(agent.clients.join(', ')),
      printable(notesOn(agent)),
    ]),
  );
}

function notesOn({ stale, unused_grants, credentials }: Agent): string {
  const grants = unused_grants.length;
  const unused = grants === 0 ? [] : [`${grants} unused grant${grants === 1 ? '' : 's'}`];
  const lasting = credentials.lasting ? ['login without end'] : [];
  return [...stale, ...lasting, ...unused].join('; ');
}

function showText(agent: AgentDetail): string {
  const { identity, credentials, statements, state_changed: changed } = agent;
  const why =
    changed === null ? '' : ` since ${seconds(changed.at)} by ${changed.by} ${changed.reason && `(${changed.reason})`}`;
  const groups = identity.groups.length === 0 ? '' : `, groups ${identity.groups.join(', ')}`;
  const about = [
    ['agent', `${identity.subject} (${identity.kind}${groups})`],
    ['id', agent.id],
    ['vouched for', identity.issuer ?? 'by sluice.yaml'],
    ['owner', identity.owner ?? 'none'],
    ['state', `${agent.state}${why}`],
    ['first seen', seconds(agent.first_seen)],
    ['used', agent.first_used === null ? 'never' : `${seconds(agent.first_used)} to ${seconds(agent.last_used!)}`],
    ['sessions', String(agent.sessions)],
    ['statements', `${statements.allowed} allowed, ${statements.held} held, ${statements.denied} denied`],
    ['clients', agent.clients.join(', ')],
    [
      'credentials',
      credentials.live === 0
        ? 'no short-lived ones'
        : `${credentials.live}, the oldest of ${seconds(credentials.oldest!)}, the last until ${seconds(credentials.last_expiry!)}`,
    ],
    ['user', credentials.lasting ? 'of sluice.yaml: its login does not end' : 'no'],
    ['stale', agent.stale.join('; ') || 'no'],
  ];
  const unused = new Set(agent.unused_grants.map(({ connection, rule }) => `${connection} ${rule}`));
  const grants = agent.grants.map(({ connection, rule, last }) => [
    printable(connection),
    printable(rule),
    last === null ? 'never' : seconds(last),
    unused.has(`${connection} ${rule}`) ? 'unused' : '',
  ]);
  const effects = agent.effects.map(({ connection, name, count, last }) => [
    printable(connection),
    printable(name),
    String(count),
    seconds(last),
  ]);
  return [
    ...about.map(([name, value]) => `${styled('dim', name!.padEnd(13))}${printable(value!)}`),
    '',
    grants.length === 0 ? 'No rule allows it anything.' : table(['MAY, ON', 'BY RULE', 'LAST USED', ''], grants),
    '',
    effects.length === 0 ? 'It did nothing yet.' : table(['DID, ON', 'WHAT', 'TIMES', 'LAST'], effects),
  ].join('\n');
}

function day(time: string): string {
  return time.slice(0, 10);
}
