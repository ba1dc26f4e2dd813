import { type Command, InvalidArgumentError } from 'commander';
import type { ReplayEvent } from '../recording/replay.ts';
import { durationOption } from './duration-option.ts';
import { CommandFailure, EXIT } from './failure.ts';
import { fromJournal, type JournalOptions, withJournalOptions } from './journal-options.ts';
import { Pace } from './replay-pace.ts';
import { replayLines } from './replay-text.ts';
import { printable } from './terminal.ts';

interface ReplayOptions extends JournalOptions {
  readonly speed?: number;
  readonly wait: boolean;
  /** Milliseconds. */
  readonly maxPause: number;
  /** Number of a statement. */
  readonly from?: number;
  readonly json?: true;
}

export function addSessionsReplay(sessions: Command): void {
  withJournalOptions(sessions.command('replay'))
    .description('Shows a session as it happened: statements, verdicts, holds and votes, outcomes, in their own time.')
    .argument('<id>', 'session, as `sessions list` prints it')
    .option('--speed <factor>', 'so many times as fast', factorOption)
    .option('--no-wait', 'without pauses, as is done where the output is no terminal and no speed is given')
    .option('--max-pause <duration>', 'longest pause', durationOption('500ms, 3s or 1m'), 3000)
    .option('--from <statement>', 'from the statement of this number on', numberOption)
    .option('--json', 'print JSON, without pauses')
    .addHelpText(
      'after',
      '\nOn a terminal: space pauses, + and - change the speed, n goes to the next statement, b back to the one before, q ends.',
    )
    .action(async (id: string, options: ReplayOptions) => {
      const { readReplay } = await import('../recording/replay.ts');
      const all = await fromJournal(options, (directory) => readReplay(directory, id));
      if (all.length === 0) throw new CommandFailure(EXIT.problem, `The journal has no session ${printable(id)}.`);
      const events = from(all, options.from);
      if (options.json) {
        console.log(JSON.stringify({ session: id, events }, null, 2));
        return;
      }
      const waits = options.wait && (options.speed !== undefined || process.stdout.isTTY === true);
      await play(events, waits ? new Pace(options.speed ?? 1, options.maxPause) : null);
    });
}

/** The events from a statement on. */
function from(events: readonly ReplayEvent[], statement: number | undefined): readonly ReplayEvent[] {
  if (statement === undefined) return events;
  const first = events.findIndex((event) => event.event === 'statement' && event.statement >= statement);
  if (first === -1) throw new CommandFailure(EXIT.problem, `The session has no statement ${statement}.`);
  return events.slice(first);
}

/** @param pace `null` for no pauses */
async function play(events: readonly ReplayEvent[], pace: Pace | null): Promise<void> {
  const keys = pace === null ? null : listen(pace);
  try {
    for (let at = 0; at < events.length; ) {
      const event = events[at]!;
      for (const line of replayLines(event, events)) console.log(line);
      const next = events[at + 1];
      if (next === undefined) break;
      const jump = pace === null ? 'none' : await pace.pause(next.offsetMs - event.offsetMs);
      if (jump === 'end') return;
      at = jump === 'none' ? at + 1 : statementFrom(events, at, jump);
    }
  } finally {
    keys?.();
  }
}

/** The position of the next statement, or of the one before the last that was shown; where there is none, of what follows. */
function statementFrom(events: readonly ReplayEvent[], at: number, jump: 'next' | 'back'): number {
  const isStatement = ({ event }: ReplayEvent) => event === 'statement';
  if (jump === 'next') {
    const next = events.findIndex((event, position) => position > at && isStatement(event));
    return next === -1 ? events.length - 1 : next;
  }
  const shown = events.findLastIndex((event, position) => position <= at && isStatement(event));
  const before = events.findLastIndex((event, position) => position < shown && isStatement(event));
  return before === -1 ? 0 : before;
}

/** Takes keys where there is a terminal to press them. @returns what ends that */
function listen(pace: Pace): (() => void) | null {
  const { stdin } = process;
  if (stdin.isTTY !== true) return null;
  stdin.setRawMode(true);
  stdin.resume();
  const press = (keys: Buffer) => {
    for (const key of keys.toString()) pace.press(key);
  };
  stdin.on('data', press);
  return () => {
    stdin.off('data', press);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

function factorOption(text: string): number {
  const factor = Number(text);
  if (!(factor > 0 && factor <= 1000)) throw new InvalidArgumentError('It must be a number above 0, at most 1000.');
  return factor;
}

function numberOption(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('It must be a whole number from 1.');
  return number;
}
