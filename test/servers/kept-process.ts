import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Account } from './account.ts';

/**
 * Runs the server (arguments 3 and on) and waits for the end of standard input, which comes when the process that
 * started it ends, by whatever cause: then sends the server a signal (argument 2) and removes its directory (argument 1).
 */
const KEEPER = `directory=$1; signal=$2; shift 2
exec 3<&0
"$@" 3<&- </dev/null & server=$!
{ read -r _ <&3; kill -$signal $server; } 2>/dev/null & watcher=$!
wait $server; status=$?
kill $watcher 2>/dev/null
rm -rf "$directory"
exit $status`;

export interface KeptProcess {
  readonly keeper: ChildProcess;
  /** Everything the server printed so far; works on after the directory is gone. */
  log(): string;
  /** Ends the server and resolves when it is gone, with its directory. */
  stop(): Promise<void>;
}

/** Starts a server that ends with this process, whatever ends this process, and takes `directory` with it. */
export function keep(
  directory: string,
  command: readonly string[],
  signal: 'QUIT' | 'KILL',
  account: Account | null,
): KeptProcess {
  const path = join(directory, 'log');
  const output = openSync(path, 'w');
  const input = openSync(path, 'r');
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'sh', directory, signal, ...command], {
    ...account,
    cwd: directory,
    // A session of its own, so that Ctrl-C reaches only this process, and the keeper cleans up after it.
    detached: true,
    stdio: ['pipe', output, output],
  });
  closeSync(output);
  keeper.unref();
  const log = () => {
    const bytes = Buffer.alloc(fstatSync(input).size);
    readSync(input, bytes, 0, bytes.length, 0);
    return bytes.toString();
  };
  const stop = async () => {
    if (keeper.exitCode !== null || keeper.signalCode !== null) return;
    keeper.ref();
    const exit = once(keeper, 'exit');
    keeper.stdin?.end();
    await exit;
  };
  return { keeper, log, stop };
}
