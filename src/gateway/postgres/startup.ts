import type { ErrorFields } from '../../../protocols/postgres/backend.ts';
import type { SessionPins } from '../../policy/session-rules.ts';
import { isSafeEncoding } from '../../statements/postgres/encodings.ts';
import type { Judge } from '../judge.ts';
import { NO_NAMES } from '../names-in-force.ts';
import { fatal } from './errors.ts';
import { STRICT } from './text-reading.ts';

/** Settings every driver sends at start, that change how results look and nothing else. */
const HARMLESS = new Set([
  'application_name',
  'client_encoding',
  'datestyle',
  'intervalstyle',
  'timezone',
  'extra_float_digits',
]);

/**
 * The settings of a StartupMessage that are forwarded to the upstream. Each is what `SET name = value` would be, and is
 * judged as that; those every driver sends pass.
 *
 * @param parameters of the StartupMessage, without user and database
 * @returns what to forward and what of it is claimed, or why the session cannot begin
 */
export async function judgeStartup(
  parameters: ReadonlyMap<string, string>,
  judge: Judge,
): Promise<
  | { readonly ok: true; readonly parameters: Map<string, string>; readonly claims: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly fields: ErrorFields }
> {
  const forwarded = new Map<string, string>();
  const claims = new Map<string, string>();
  const settings: [string, string][] = [];
  for (const [name, value] of parameters) {
    if (name.startsWith('_pq_.')) continue;
    if (name === 'replication') {
      if (/^(off|false|no|0)$/i.test(value)) continue;
      return { ok: false, fields: fatal('0A000', 'Replication connections are not supported by Sluice.') };
    }
    forwarded.set(name, value);
    if (name !== 'options') {
      settings.push([name, value]);
      continue;
    }
    const parsed = parseOptions(value);
    if (parsed === null) {
      return {
        ok: false,
        fields: fatal('42601', 'Only settings (-c name=value) can be given as start-up options through Sluice.'),
      };
    }
    settings.push(...parsed);
  }
  for (const [name, value] of settings) {
    const setting = name.toLowerCase();
    if (setting === 'client_encoding' && !isSafeEncoding(value)) {
      return {
        ok: false,
        fields: { ...fatal('22023', `client_encoding ${value} cannot be used through Sluice.`), hint: 'Use UTF8.' },
      };
    }
    if (HARMLESS.has(setting)) continue;
    const text = `SET ${quoteName(name)} TO ${quoteLiteral(value)}`;
    const { statements } = await judge.judge(text, { lexing: STRICT, names: NO_NAMES });
    for (const { verdict, facts } of statements) {
      for (const claim of facts.claims ?? []) claims.set(claim.name, value);
      if (verdict.action === 'allow') continue;
      return { ok: false, fields: { ...fatal('42501', verdict.message), hint: verdict.hint } };
    }
  }
  return { ok: true, parameters: forwarded, claims };
}

/** Sets what the session is pinned to, whatever the client asked for. Changes `parameters`. */
export function pinStartup(parameters: Map<string, string>, pins: SessionPins): void {
  const pinned = new Map(pins.settings);
  if (pins.readOnly) pinned.set('default_transaction_read_only', 'on');
  if (pins.statementTimeoutMs !== null) pinned.set('statement_timeout', String(pins.statementTimeoutMs));
  if (pins.role !== null) pinned.set('role', pins.role);
  for (const name of [...parameters.keys()]) if (pinned.has(name.toLowerCase())) parameters.delete(name);
  // After `options`, which the server reads first, wherever it stands.
  for (const [name, value] of pinned) parameters.set(name, value);
}

/**
 * Splits the `options` parameter as the server does: at ASCII white space, backslash escapes the next character
 * (pg_split_opts; a non-breaking space separates nothing there). Only `-c name=value`, `-cname=value` and
 * `--name=value` are read; `null` for any other switch.
 */
export function parseOptions(options: string): [string, string][] | null {
  const words = [...options.matchAll(/(?:\\.|[^ \t\n\v\f\r\\])+/gs)].map((match) => match[0].replace(/\\(.)/gs, '$1'));
  if (/\\$/.test(options.replace(/\\./gs, ''))) return null;
  const settings: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    let word = words[i]!;
    if (word === '-c') {
      const next = words[++i];
      if (next === undefined) return null;
      word = next;
    } else if (word.startsWith('--')) word = word.slice(2);
    else if (word.startsWith('-c')) word = word.slice(2);
    else return null;
    const equals = word.indexOf('=');
    if (equals < 1) return null;
    // "--name" may be written with dashes: ParseLongOption.
    settings.push([word.slice(0, equals).replaceAll('-', '_'), word.slice(equals + 1)]);
  }
  return settings;
}

function quoteName(name: string): string {
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}

function quoteLiteral(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
