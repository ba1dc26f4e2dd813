import { type DestinationStream, destination, type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.ts';

export type Log = Logger;

/** Field names whose values must not be written, at the top of a log line and up to two levels down. */
const SECRET_FIELDS = ['password', 'scram', 'verifier', 'key', 'secret', 'token', 'authorization'];

/**
 * The log of the process: one JSON object a line, on standard error unless another stream is given. It takes several
 * microseconds a line, so nothing that happens per statement is logged; statements are in the journal.
 */
export function createLog(level: LogLevel, stream: DestinationStream = destination({ dest: 2, sync: false })): Log {
  return pino(
    {
      level,
      base: {},
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '[redacted]',
      },
    },
    stream,
  );
}
