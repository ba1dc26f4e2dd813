/** Days, hours and dates of rules. */

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MINUTES_OF_DAY = 24 * 60;

/** `mon`, `mon-fri`, `sat-mon`. */
export function isDays(text: string): boolean {
  const [first = '', last, ...more] = text.split('-');
  return DAYS.includes(first) && (last === undefined || DAYS.includes(last)) && more.length === 0;
}

/** `08:00-18:00`, `22:00-06:00`, `00:00-24:00`; two equal times would be nothing or everything, so they are neither. */
export function isHours(text: string): boolean {
  const match = /^([01]\d|2[0-3]):[0-5]\d-(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/.exec(text);
  return match !== null && text.slice(0, 5) !== text.slice(6);
}

/** A zone of the IANA database, as this Node knows it. */
export function isZone(text: string): boolean {
  // Node takes `+02:00` as well: that would be a zone without daylight saving that looks like one with.
  if (!/^[A-Za-z]/.test(text)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}

/** `2027-01-31`, a day that exists. */
export function isDate(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** The end of a day, UTC, in milliseconds since 1970. */
export function endOfDay(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) + 24 * 60 * 60 * 1000;
}

/** Checked by {@link isDays}, {@link isHours} and {@link isZone}. */
export interface TimeWindowSource {
  readonly days?: readonly string[] | undefined;
  readonly hours?: readonly string[] | undefined;
  readonly zone: string;
}

/** Tells whether a time, in milliseconds since 1970, is in the window. A window over midnight belongs to the day it begins on. */
export function compileTimeWindow({ days, hours, zone }: TimeWindowSource): (time: number) => boolean {
  const onDay = DAYS.map((_, day) => days === undefined || days.some((range) => includesDay(range, day)));
  const ranges = (hours ?? ['00:00-24:00']).map((range) => ({
    from: minuteOf(range.slice(0, 5)),
    to: minuteOf(range.slice(6)),
  }));
  const localTime = localTimeIn(zone);
  return (time) => {
    const { day, minute } = localTime(time);
    return ranges.some(({ from, to }) => {
      if (from < to) return onDay[day]! && minute >= from && minute < to;
      return (onDay[day]! && minute >= from) || (onDay[(day + 6) % 7]! && minute < to);
    });
  };
}

function includesDay(range: string, day: number): boolean {
  const [first, last = first] = range.split('-').map((name) => DAYS.indexOf(name)) as [number, number?];
  return first <= last ? day >= first && day <= last : day >= first || day <= last;
}

function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));
}

/** The clock on the wall. `day` is 0 on Sunday, `minute` counts from 0:00. */
function localTimeIn(zone: string): (time: number) => { day: number; minute: number } {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  // Formatting costs microseconds and statements come by the thousand in one minute.
  let known = -1;
  let local = { day: 0, minute: 0 };
  return (time) => {
    const minute = Math.floor(time / 60_000);
    if (minute !== known) {
      const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, value]));
      local = {
        day: DAYS.indexOf((parts.get('weekday') ?? '').toLowerCase()),
        minute: (Number(parts.get('hour')) * 60 + Number(parts.get('minute'))) % MINUTES_OF_DAY,
      };
      known = minute;
    }
    return local;
  };
}
