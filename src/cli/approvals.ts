import { type Command, InvalidArgumentError, Option } from 'commander';
import { ApiClient, type ApiOptions, withApiOptions } from './api-client.ts';
import { watchRequests } from './approvals-watch.ts';
import { durationOption } from './duration-option.ts';
import { EXIT } from './failure.ts';
import { onStopSignals } from './stop-signals.ts';
import { printable, seconds, styled, table, trimmed } from './terminal.ts';

/** A request as the API has it. */
interface Request {
  readonly request: number;
  readonly state: string;
  readonly reason: string | null;
  readonly identity: { readonly subject: string; readonly kind: string; readonly owner?: string };
  readonly session: string;
  readonly connection: string;
  readonly database: string;
  readonly role: string;
  readonly path: readonly string[];
  readonly statement: string | null;
  readonly binds: string | null;
  readonly effects: readonly string[];
  readonly rule: string;
  readonly message: string;
  readonly claimed: Readonly<Record<string, string>>;
  readonly in_transaction: boolean;
  readonly unguarded: string | null;
  readonly reaches: string;
  readonly stages: readonly {
    readonly groups: readonly string[];
    readonly subjects: readonly string[];
    readonly count: number;
    readonly missing: number;
  }[];
  readonly votes: readonly {
    readonly subject: string;
    readonly decision: string;
    readonly reason: string;
    readonly channel: string;
    readonly at: string;
    readonly uncounted: boolean;
  }[];
  readonly impact: {
    readonly rows: number | null;
    readonly estimated_rows: number | null;
    readonly cascades: readonly string[];
    readonly triggers: readonly string[];
    readonly gaps: readonly string[];
  } | null;
  readonly preview: { readonly state: 'made' | 'waits' | 'not made'; readonly reason: string | null };
  readonly created: string;
  readonly expires: string;
}

/** One that was opened to decide on it. */
interface OpenedRequest extends Request {
  readonly sample:
    | {
        readonly columns: readonly string[];
        readonly rows: readonly (readonly (string | null)[])[];
        readonly none: null;
      }
    | { readonly none: string };
  readonly history: {
    readonly approved: number;
    readonly ran: number;
    readonly rejected: number;
    readonly expired: number;
    readonly withdrawn: number;
    readonly last: {
      readonly request: number;
      readonly decision: string;
      readonly by: readonly string[];
      readonly at: string;
      readonly reason: string;
    } | null;
    readonly last_run: { readonly request: number; readonly rows: number } | null;
    readonly not_held: { readonly times: number; readonly more: boolean; readonly last: string | null } | null;
  } | null;
}

/** What a channel is told, as the API has it. */
interface Delivery {
  readonly delivery: string;
  readonly channel: string;
  readonly request: number;
  readonly notice: string;
  readonly state: string;
  readonly attempts: number;
  readonly due: string | null;
  readonly failure: string | null;
}

interface Options extends ApiOptions {
  readonly json?: true;
}

export function addApprovalsCommand(program: Command): void {
  const approvals = program.command('approvals').description('Statements that wait for a person, and votes on them.');
  withApiOptions(approvals.command('list'))
    .description('Lists requests, the newest first.')
    .option('--all', 'those that are decided, too')
    .option('--unreviewed', 'only those approved by breaking the glass, and not reviewed yet')
    .option('--json', 'print JSON')
    .action(async (options: Options & { all?: true; unreviewed?: true }) => {
      const client = await ApiClient.open(options);
      const query = new URLSearchParams({
        ...(options.all && { state: 'all' }),
        ...(options.unreviewed && { unreviewed: 'true' }),
      });
      const answer = await client.get<{ requests: Request[] }>(`/approvals?${query}`);
      console.log(options.json ? JSON.stringify(answer, null, 2) : listText(answer.requests));
    });
  withApiOptions(approvals.command('show'))
    .description('Shows one: the statement, who asks, and what it would do.')
    .argument('<request>', 'its number', requestOption)
    .option('--json', 'print JSON')
    .action(async (request: number, options: Options) => {
      const client = await ApiClient.open(options);
      const one = await client.get<OpenedRequest>(`/approvals/${request}`);
      console.log(options.json ? JSON.stringify(one, null, 2) : showText(one));
    });
  const votes = [
    ['approve', 'Approves: the statement runs once everybody has who is asked.', 'why', ''],
    ['reject', 'Rejects; its client is told why.', 'why; its client is told', undefined],
    ['break-glass', 'Approves alone in an emergency; somebody else reviews it later.', 'why it cannot wait', undefined],
  ] as const;
  for (const [verb, description, about, fallback] of votes) {
    const command = withApiOptions(approvals.command(verb))
      .description(description)
      .argument('<request>', 'its number', requestOption);
    if (fallback === undefined) command.requiredOption('--reason <text>', about);
    else command.option('--reason <text>', about, fallback);
    if (verb === 'approve') {
      command.option('--unguarded', 'also if its rows are not counted: then it may change any number of them');
      command.addOption(
        new Option('--grant <reach>', 'less far than the rules allow').choices(['once', 'session', 'fingerprint']),
      );
    }
    command.action(
      async (request: number, options: ApiOptions & { reason: string; unguarded?: true; grant?: string }) => {
        const client = await ApiClient.open(options);
        const { reason, unguarded = false, grant } = options;
        const path = `/approvals/${request}/${verb}`;
        const { state, stages } = await client.post<Request>(path, {
          reason,
          channel: 'cli',
          unguarded,
          grant,
        });
        const missing = stages.reduce((sum, stage) => sum + stage.missing, 0);
        console.log(`Request ${request} is ${state}${state === 'pending' ? `: ${missing} more to approve` : ''}.`);
      },
    );
  }
  withApiOptions(approvals.command('review'))
    .description('Says that you have looked at what was approved by breaking the glass.')
    .argument('<request>', 'its number', requestOption)
    .requiredOption('--note <text>', 'what you found')
    .action(async (request: number, options: ApiOptions & { note: string }) => {
      const client = await ApiClient.open(options);
      await client.post(`/approvals/${request}/review`, { note: options.note });
      console.log(`Request ${request} is reviewed.`);
    });
  withApiOptions(approvals.command('delegate'))
    .description('Hands your vote over to another approver.')
    .argument('<name>', 'who votes in your place')
    .requiredOption('--for <duration>', 'how long, such as 8h or 14d', durationOption('8h or 14d'))
    .option('--issuer <url>', 'the provider that vouches for them; left out for users of sluice.yaml', '')
    .action(async (to: string, options: ApiOptions & { for: number; issuer: string }) => {
      const client = await ApiClient.open(options);
      const until = new Date(Date.now() + options.for).toISOString();
      await client.post('/approvals/delegations', { to, issuer: options.issuer, until });
      console.log(`${printable(to)} votes in your place until ${seconds(until)}.`);
    });
  withApiOptions(approvals.command('deliveries'))
    .description('Lists what channels have not been told.')
    .option('--all', 'what they have been told, too')
    .option('--json', 'print JSON')
    .action(async (options: Options & { all?: true }) => {
      const client = await ApiClient.open(options);
      const path = `/approvals/deliveries${options.all ? '?state=all' : ''}`;
      const answer = await client.get<{ deliveries: Delivery[] }>(path);
      console.log(options.json ? JSON.stringify(answer, null, 2) : deliveriesText(answer.deliveries));
    });
  withApiOptions(approvals.command('redeliver'))
    .description('Sends to a channel again what was given up.')
    .argument('<delivery>', 'its id, as `deliveries` lists it')
    .action(async (delivery: string, options: ApiOptions) => {
      const client = await ApiClient.open(options);
      await client.post(`/approvals/deliveries/${encodeURIComponent(delivery)}/retry`, {});
      console.log(`${printable(delivery)} is sent again.`);
    });
  withApiOptions(approvals.command('test-channel'))
    .description('Tells a channel that this is a test, and says what came of it.')
    .argument('<channel>', 'its name in sluice.yaml')
    .action(async (channel: string, options: ApiOptions) => {
      const client = await ApiClient.open(options);
      await client.post(`/approvals/channels/${encodeURIComponent(channel)}/test`, {});
      console.log(`${printable(channel)} has been told.`);
    });
  withApiOptions(approvals.command('watch'))
    .description(
      'Prints requests as they come and are decided, until it is interrupted; connects again when it has to.',
    )
    .option('--json', 'print JSON, one request a line')
    .action(async (options: Options) => {
      const stopping = new AbortController();
      const unheard = onStopSignals(
        () => stopping.abort(),
        () => process.exit(EXIT.ok),
      );
      for await (const one of watchRequests<Request>(options, stopping.signal)) {
        console.log(options.json ? JSON.stringify(one) : watchText(one));
      }
      unheard();
    });
}

function requestOption(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('It must be the number of a request.');
  return Number(text);
}

function listText(requests: readonly Request[]): string {
  if (requests.length === 0) return 'Nothing waits.';
  return table(
    ['REQUEST', 'STATE', 'WHO', 'CONNECTION', 'RULE', 'ROWS', 'UNTIL', 'STATEMENT'],
    requests.map((one) => [
      String(one.request),
      one.state,
      printable(who(one)),
      printable(one.connection),
      printable(one.rule),
      rowsOf(one),
      seconds(one.expires),
      trimmed(printable(one.statement ?? one.effects.join('; ')), 60),
    ]),
  );
}

function deliveriesText(deliveries: readonly Delivery[]): string {
  if (deliveries.length === 0) return 'Channels have been told everything.';
  return table(
    ['DELIVERY', 'CHANNEL', 'REQUEST', 'EVENT', 'STATE', 'ATTEMPTS', 'NEXT', 'FAILURE'],
    deliveries.map(({ delivery, channel, request, notice, state, attempts, due, failure }) => [
      delivery,
      channel,
      String(request),
      notice,
      state,
      String(attempts),
      due === null ? '' : seconds(due),
      printable(failure ?? ''),
    ]),
  );
}

function who({ identity }: Request): string {
  return identity.owner === undefined ? identity.subject : `${identity.subject} for ${identity.owner}`;
}

function rowsOf({ impact }: Request): string {
  if (impact === null) return '';
  if (impact.rows !== null) return String(impact.rows);
  return impact.estimated_rows === null ? '?' : `about ${impact.estimated_rows}`;
}

function watchText(one: Request): string {
  const what = one.statement ?? one.effects.join('; ');
  return `${styled('dim', seconds(new Date().toISOString()))} ${one.request} ${one.state} ${printable(who(one))} ${printable(one.connection)}: ${trimmed(printable(what), 80)}`;
}

function showText(one: OpenedRequest): string {
  const { impact } = one;
  const stages = one.stages.map(({ groups, subjects, count, missing }) => {
    const from = [...groups.map((group) => `group ${group}`), ...subjects].join(', ') || 'any approver';
    return `${count} of ${from}${missing === 0 ? ', done' : `, ${missing} missing`}`;
  });
  const about: [string, string][] = [
    ['request', `${one.request}, ${one.state}${one.reason === null ? '' : `: ${one.reason}`}`],
    ['who', `${who(one)} (${one.identity.kind}), session ${one.session}`],
    [
      'where',
      `${one.connection}, database ${one.database}${one.role && `, as ${one.role}`}, path ${one.path.join(', ')}`,
    ],
    ['why', one.message.includes(one.rule) ? one.message : `${one.message} (rule ${one.rule})`],
    ['effects', one.effects.join('; ')],
    ['asked', `${seconds(one.created)}, until ${seconds(one.expires)}`],
    ['needs', stages.join('; ')],
    ...Object.entries(one.claimed).map(([name, value]): [string, string] => ['claims', `${name}=${value}`]),
    ['reaches', one.reaches],
    ['transaction', one.in_transaction ? 'open: it keeps its locks while this waits' : 'none'],
    [
      'rows',
      `${rowsOf(one) || 'not counted yet'}; ${one.unguarded === null ? 'if it changes more, it is rolled back' : `nothing undoes it if it changes more, since ${one.unguarded}`}`,
    ],
    ...(one.preview.reason === null
      ? []
      : [['preview', `${one.preview.state}. ${one.preview.reason}`] as [string, string]]),
    ...(impact === null
      ? []
      : ([
          ['cascades', impact.cascades.join('; ') || 'none'],
          ['triggers', impact.triggers.join('; ') || 'none'],
          ...impact.gaps.map((gap): [string, string] => ['not known', gap]),
        ] as [string, string][])),
    ...historyLines(one),
    ...one.votes.map((vote): [string, string] => [
      'vote',
      `${vote.subject}: ${vote.decision}${vote.reason && ` (${vote.reason})`}, ${seconds(vote.at)}, by ${vote.channel}${vote.uncounted ? ', before its rows were counted' : ''}`,
    ]),
  ];
  return [
    ...about.map(([name, value]) => `${styled('dim', printable(name).padEnd(13))}${printable(value)}`),
    '',
    printableText(one.statement ?? 'The statement is shown to approvers and auditors.'),
    ...(one.binds === null ? [] : ['', `values ${printable(one.binds)}`]),
    '',
    sampleText(one.sample),
  ].join('\n');
}

/** What became of statements like it. */
function historyLines({ history }: OpenedRequest): [string, string][] {
  if (history === null) return [];
  const { approved, ran, rejected, expired, withdrawn, last, last_run: lastRun, not_held: notHeld } = history;
  const counts = [
    ...(approved > 0 ? [`${approved} approved, of which ${ran} ran`] : []),
    ...(rejected > 0 ? [`${rejected} rejected`] : []),
    ...(expired > 0 ? [`${expired} expired`] : []),
    ...(withdrawn > 0 ? [`${withdrawn} withdrawn`] : []),
  ];
  return [
    ['like it', counts.join('; ') || 'nothing was asked for before'],
    ...(last === null
      ? []
      : [
          [
            'last',
            `${last.request} ${last.decision} by ${last.by.join(', ')}${last.reason && ` (${last.reason})`}, ${seconds(last.at)}`,
          ] as [string, string],
        ]),
    ...(lastRun === null ? [] : [['last ran', `${lastRun.request}: ${lastRun.rows} rows`] as [string, string]]),
    ...(notHeld === null || notHeld.times === 0
      ? []
      : [
          [
            'not held',
            `${notHeld.times}${notHeld.more ? ' or more' : ''} times, the last ${seconds(notHeld.last!)}`,
          ] as [string, string],
        ]),
  ];
}

function sampleText(sample: OpenedRequest['sample']): string {
  if (sample.none !== null) return `No rows are shown: ${printable(sample.none)}`;
  if (sample.rows.length === 0) return 'It finds no rows now.';
  return `First rows, as you and who asks may see them:\n${table(
    sample.columns.map((name) => trimmed(printable(name), 40)),
    sample.rows.map((row) => row.map((value) => (value === null ? 'NULL' : trimmed(printable(value), 40)))),
  )}`;
}

/** Lines stay lines. */
function printableText(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
