import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Certificates, makeCertificates } from './certificates.ts';
import { installPackages } from './debian-packages.ts';
import { freePort } from './free-port.ts';
import { type KeptProcess, keep } from './kept-process.ts';

/** A message as rsyslog has parsed it. */
export interface ReceivedMessage {
  readonly pri: string;
  readonly hostname: string;
  readonly app: string;
  readonly msgid: string;
  readonly data: string;
  readonly message: string;
}

/** An rsyslog that reads syslog over TLS on a port of 127.0.0.1. */
export interface Rsyslog {
  readonly port: number;
  readonly certificates: Certificates;
  /** What it has written down so far, over all its lives. */
  messages(): ReceivedMessage[];
  log(): string;
  /** Starts it again where it was, after {@link kill}. */
  start(): Promise<void>;
  /** As a crash does. */
  kill(): Promise<void>;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
}

const PROGRAM = '/usr/sbin/rsyslogd';
const DRIVER = 'lmnsd_gtls.so';

/**
 * Starts rsyslog with the TLS driver of GnuTLS; of Debian's packages (as root where CI is set), unless the machine has
 * them. `null`, with a line that says so, where there is none.
 */
export async function startRsyslog(): Promise<Rsyslog | null> {
  if (!isInstalled()) installPackages('rsyslog', 'rsyslog-gnutls');
  if (!isInstalled()) {
    console.log('rsyslog: NOT RUN, no rsyslogd with rsyslog-gnutls on this machine');
    return null;
  }
  const directory = mkdtempSync(join(tmpdir(), 'sluice-rsyslog-'));
  const certificates = makeCertificates(directory);
  const port = await freePort();
  const received = join(directory, 'received');
  const configuration = join(directory, 'rsyslog.conf');
  writeFileSync(
    configuration,
    `global(
  workDirectory="${directory}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="${certificates.ca}"
  defaultNetstreamDriverCertFile="${certificates.certificate}" defaultNetstreamDriverKeyFile="${certificates.key}"
)
main_queue(queue.type="Direct")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="line" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
input(type="imtcp" address="127.0.0.1" port="${port}")
action(type="omfile" file="${received}" template="line")
`,
  );
  let process: KeptProcess | null = null;
  let lives = 0;
  const start = async () => {
    const own = mkdtempSync(join(tmpdir(), 'sluice-rsyslogd-'));
    lives++;
    process = keep(own, [PROGRAM, '-n', '-C', '-f', configuration, '-i', join(own, 'pid')], 'KILL', null);
    await listens(port, process.log);
  };
  const kill = async () => {
    await process?.stop();
    process = null;
  };
  try {
    await start();
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  console.log(`rsyslog, port ${port}`);
  return {
    port,
    certificates,
    messages: () => {
      if (!existsSync(received)) return [];
      // A line in the middle of being written is left out.
      const lines = readFileSync(received, 'utf8').split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as ReceivedMessage);
    },
    log: () => `life ${lives}: ${process?.log() ?? 'ended'}`,
    start,
    kill,
    stop: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function isInstalled(): boolean {
  const libraries = spawnSync('/bin/sh', [
    '-c',
    `ls /usr/lib/*/rsyslog/${DRIVER} /usr/lib/rsyslog/${DRIVER} 2>/dev/null`,
  ]);
  return existsSync(PROGRAM) && libraries.stdout.length > 0;
}

async function listens(port: number, log: () => string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (there) return;
    if (Date.now() > deadline) throw new Error(`rsyslogd does not listen:\n${log()}`);
    await delay(50);
  }
}
