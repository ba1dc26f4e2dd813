import type { ReplayEvent } from '../recording/replay.ts';
import { offsetText } from './offset-text.ts';
import { printable, styled, table, trimmed } from './terminal.ts';

const MOST_TEXT = 2000;
const MOST_CELL = 60;
const INDENT = ' '.repeat(12);

/** What a replay prints of an event. @param events all of them, since what became of a held statement is told by its request */
export function replayLines(event: ReplayEvent, events: readonly ReplayEvent[]): string[] {
  const [first, ...others] = linesOf(event, events);
  return [
    `${styled('dim', offsetText(event.offsetMs).padEnd(INDENT.length - 1))} ${first}`,
    ...others.map((line) => INDENT + line),
  ];
}

function linesOf(event: ReplayEvent, events: readonly ReplayEvent[]): string[] {
  switch (event.event) {
    case 'start':
      return [startText(event)];
    case 'statement':
      return statementLines(event);
    case 'prepared':
      return [`${verdictText(event.verdict)} prepares ${trimmed(event.text, MOST_TEXT)}${byRules(event.rules)}`];
    case 'held':
      return [`${styled('yellow', 'hold')}  waits for approval${byRules(event.rules)}: request ${event.request}`];
    case 'vote': {
      const reason = event.reason === null || event.reason === '' ? '' : `: ${printable(event.reason)}`;
      return [
        `      request ${event.request}: ${printable(event.decision ?? '?')} by ${printable(event.voter ?? '?')}${channelText(event.channel)}${reason}`,
      ];
    }
    case 'decision':
      return [
        `      request ${event.request} is ${printable(event.state ?? '?')}${event.reason === null ? '' : `: ${printable(event.reason)}`}`,
      ];
    case 'result':
      return resultLines(event);
    case 'outcome':
      return [outcomeText(event, maskedOf(event.statement, events))];
    case 'killed':
      return [
        styled('red', `killed by ${printable(event.by ?? '?')}${event.reason ? `: ${printable(event.reason)}` : ''}`),
      ];
    case 'end':
      return [`ended${event.reason === null ? '' : `: ${printable(event.reason)}`}`];
  }
}

function startText({
  session,
  identity,
  connection,
  client,
  application,
}: Extract<ReplayEvent, { event: 'start' }>): string {
  const who =
    identity === null
      ? 'an identity that is not in the journal'
      : `${printable(identity.subject)} (${[identity.kind, ...(identity.owner === null ? [] : [`of ${identity.owner}`])].map(printable).join(' ')})`;
  const from = client === null ? '' : ` from ${printable(client.address)}${client.tls ? ' with TLS' : ''}`;
  const says = application === null || application === '' ? '' : `, says it is ${printable(application)}`;
  return `${styled('bold', `session ${printable(session)}`)}: ${who} on ${printable(connection ?? '?')}${from}${says}`;
}

function statementLines(event: Extract<ReplayEvent, { event: 'statement' }>): string[] {
  const { verdict, text, binds, rules, request, claimed } = event;
  const by = request === null ? '' : `, approved by request ${request}`;
  const lines = [
    `${verdictText(verdict)} ${styled('bold', trimmed(text, MOST_TEXT))}${styled('dim', `${byRules(rules)}${by}`)}`,
  ];
  if (binds !== null && binds.length > 0)
    lines.push(styled('dim', `with ${trimmed(JSON.stringify(binds), MOST_TEXT)}`));
  const { intent } = claimed;
  if (typeof intent === 'string') lines.push(styled('dim', `claims ${trimmed(intent, MOST_TEXT)}`));
  return lines;
}

function resultLines({ columns, rows, isCut }: Extract<ReplayEvent, { event: 'result' }>): string[] {
  const shown = table(
    columns.map((name) => trimmed(name, MOST_CELL)),
    rows.map((row) => row.map((cell) => (cell === null ? 'NULL' : trimmed(cell, MOST_CELL)))),
  );
  return ['', ...shown.split('\n'), ...(isCut ? [styled('dim', '... more is not recorded')] : [])];
}

function outcomeText(
  { status, sqlstate, refusedBy, tag, rows, affected, bytes, ms }: Extract<ReplayEvent, { event: 'outcome' }>,
  masked: string,
): string {
  if (status === 'refused') {
    return `      ${styled('red', 'refused')} by ${printable(refusedBy ?? '?')}${sqlstate === null ? '' : `, ${printable(sqlstate)}`}`;
  }
  const word =
    status === 'ok'
      ? styled('green', tag === null || tag === '' ? 'ok' : printable(tag))
      : styled('red', printable(`${status ?? '?'}${sqlstate === null ? '' : ` ${sqlstate}`}`));
  const facts = [
    ...(rows === null || rows === 0 ? [] : [`${rows} ${rows === 1 ? 'row' : 'rows'}`]),
    ...(affected === null ? [] : [`${affected} affected`]),
    ...(bytes === null || bytes === 0 ? [] : [`${bytes} B`]),
    ...(ms === null ? [] : [`${ms.toFixed(1)} ms`]),
    ...(masked === '' ? [] : [masked]),
  ];
  return `      ${word}${styled('dim', facts.length === 0 ? '' : `  ${facts.join(', ')}`)}`;
}

/** Which columns of a statement's result were masked, and by what. */
function maskedOf(statement: number, events: readonly ReplayEvent[]): string {
  const attempt = events.findLast((event) => event.event === 'statement' && event.statement === statement);
  if (attempt?.event !== 'statement' || attempt.maskedColumns.length === 0) return '';
  const { maskedColumns, masks } = attempt;
  return `column${maskedColumns.length === 1 ? '' : 's'} ${maskedColumns.join(', ')} masked (${masks.map(printable).join(', ')})`;
}

function verdictText(verdict: string | null): string {
  const text = (verdict ?? '?').padEnd(5);
  return styled(verdict === 'allow' ? 'green' : verdict === 'hold' ? 'yellow' : 'red', text);
}

function byRules(rules: readonly string[]): string {
  return rules.length === 0 ? '' : `  (${rules.map(printable).join(', ')})`;
}

function channelText(channel: string | null): string {
  return channel === null ? '' : ` (${printable(channel)})`;
}
