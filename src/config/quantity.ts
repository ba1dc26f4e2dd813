/** Durations and sizes as people write them in sluice.yaml and on the command line. */

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** `15s`, `500ms`, `5m`, `1h`, `7d` to milliseconds; `null` if it is not such a text. A bare number has no unit and is refused. */
export function parseDuration(text: string): number | null {
  return parseQuantity(text, DURATION_UNITS);
}

/** `512B`, `64KiB`, `64MiB`, `1GiB` to bytes; `null` if it is not such a text. */
export function parseSize(text: string): number | null {
  return parseQuantity(text, SIZE_UNITS);
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d{1,9})([A-Za-z]+)$/.exec(text);
  const factor = match === null ? undefined : units[match[2]!];
  return factor === undefined ? null : Number(match![1]) * factor;
}
