import type { Command } from 'commander';
import type { JournalProblem } from '../recording/read-records.ts';
import {
  listSessions,
  readSession,
  type SessionDetail,
  type SessionSummary,
  type StatementEntry,
} from '../recording/sessions.ts';
import { ApiClient, type ApiOptions, withApiOptions } from './api-client.ts';
import { durationOption } from './duration-option.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { fromJournal, type JournalOptions, withJournalOptions } from './journal-options.ts';
import { offsetText } from './offset-text.ts';
import { addSessionsReplay } from './sessions-replay.ts';
import { printable, seconds, styled, table, trimmed } from './terminal.ts';

interface ShowOptions extends JournalOptions {
  readonly json?: true;
}

interface ListOptions extends ShowOptions {
  /** Milliseconds. */
  readonly since?: number;
  readonly identity?: string;
  readonly connection?: string;
  readonly active?: true;
}

export function addSessionsCommand(program: Command): void {
  const sessions = program.command('sessions').description('Sessions, read from the journal.');
  withJournalOptions(sessions.command('list'))
    .description('Lists sessions, oldest first.')
    .option('--since <duration>', 'only those with a record in the last 30m, 1h, 7d', durationOption('30m, 1h or 7d'))
    .option('--identity <name>', 'only those of this identity')
    .option('--connection <name>', 'only those to this connection')
    .option('--active', 'only those whose end is not recorded')
    .option('--json', 'print JSON')
    .action(async (options: ListOptions) => {
      const { sessions, problems } = await fromJournal(options, (directory) =>
        listSessions(directory, {
          ...(options.since !== undefined && { since: Date.now() - options.since }),
          ...(options.identity !== undefined && { subject: options.identity }),
          ...(options.connection !== undefined && { connection: options.connection }),
          ...(options.active && { active: true }),
        }),
      );
      console.log(options.json ? JSON.stringify({ sessions, problems }, null, 2) : listText(sessions));
      report(problems);
    });
  withJournalOptions(sessions.command('show'))
    .description('Shows one session: who, from where, and every statement with its verdict and outcome.')
    .argument('<id>', 'session, as `sessions list` prints it')
    .option('--json', 'print JSON')
    .action(async (id: string, options: ShowOptions) => {
      const { session, problems } = await fromJournal(options, (directory) => readSession(directory, id));
      if (session !== null) {
        console.log(options.json ? JSON.stringify({ session, problems }, null, 2) : showText(session));
      }
      report(problems);
      if (session === null) throw new CommandFailure(EXIT.problem, `The journal has no session ${printable(id)}.`);
    });
  addSessionsReplay(sessions);
  withApiOptions(sessions.command('kill'))
    .description('Ends a session now, on whichever node it is: what it runs is cancelled, its transaction rolled back.')
    .argument('<id>', 'session, as `sessions list` prints it')
    .option('--reason <text>', 'why; whoever is ended sees it', '')
    .action(async (id: string, options: ApiOptions & { reason: string }) => {
      const client = await ApiClient.open(options);
      const { here } = await client.post<{ here: boolean }>(`/sessions/${encodeURIComponent(id)}/kill`, {
        reason: options.reason,
      });
      const session = printable(id);
      console.log(
        here ? `Session ${session} is ended.` : `Session ${session} is not at this node; the others are told.`,
      );
    });
}

/** After the rest was printed: what is wrong with the journal, on standard error. */
function report(problems: readonly JournalProblem[]): void {
  for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`);
  if (problems.length > 0) process.exitCode = EXIT.problem;
}

function listText(sessions: readonly SessionSummary[]): string {
  if (sessions.length === 0) return 'No sessions.';
  return table(
    ['SESSION', 'STARTED', 'STATE', 'IDENTITY', 'KIND', 'CONNECTION', 'CLIENT', 'STATEMENTS', 'REFUSED', 'ERRORS'],
    sessions.map((session) => [
      printable(session.session),
      session.started === null ? '?' : seconds(session.started),
      session.state,
      printable(session.identity?.subject ?? '?'),
      printable(session.identity?.kind ?? '?'),
      printable(session.connection ?? '?'),
      printable(session.client?.address ?? '?'),
      String(session.statements),
      String(session.refused),
      String(session.errors),
    ]),
  );
}

function showText(session: SessionDetail): string {
  const { identity, client } = session;
  const groups = identity === null || identity.groups.length === 0 ? '' : `, groups ${identity.groups.join(', ')}`;
  const about = [
    ['session', session.session],
    ['identity', identity === null ? 'not in the journal' : `${identity.subject} (${identity.kind}${groups})`],
    ['connection', session.connection ?? 'not in the journal'],
    ['client', client === null ? 'not in the journal' : `${client.address}${client.tls ? ' with TLS' : ''}`],
    ['application', session.application === null ? 'none claimed' : `${session.application} (claimed)`],
    ['started', session.started ?? 'not in the journal'],
    ['ended', endText(session)],
  ];
  const rows = session.timeline.map((entry) => [
    offsetText(entry.offsetMs),
    entry.verdict ?? '?',
    outcomeText(entry),
    entry.rows === null ? '' : String(entry.rows),
    entry.ms === null ? '' : entry.ms.toFixed(1),
    trimmed(entry.text, 100),
    printable(entry.refusedBy ?? ''),
  ]);
  const timeline =
    rows.length === 0
      ? 'No statements.'
      : table(['TIME', 'VERDICT', 'RESULT', 'ROWS', 'MS', 'STATEMENT', 'REFUSED BY'], rows);
  return [...about.map(([name, value]) => `${styled('dim', name!.padEnd(12))}${printable(value!)}`), '', timeline].join(
    '\n',
  );
}

function endText({ state, ended, reason }: SessionSummary): string {
  if (state === 'active') return 'not yet';
  if (state === 'lost') return 'not recorded: Sluice was stopped without a chance to';
  return reason === null ? (ended ?? '?') : `${ended} (${reason})`;
}

/** `UPDATE 3` as the server said it, or what went wrong: `error 42601`. */
function outcomeText({ status, sqlstate, tag }: StatementEntry): string {
  if (status === null) return 'no outcome';
  if (status === 'ok' && tag !== null && tag !== '') return printable(tag);
  return printable(sqlstate === null ? status : `${status} ${sqlstate}`);
}
