import { ProtocolViolation } from '../../../protocols/postgres/violation.ts';

/** The server compares names of prepared statements and portals by this many bytes: NAMEDATALEN - 1. */
const NAME_BYTES = 63;

/** Position of the next NUL. @throws ProtocolViolation if there is none before `end` */
export function nulAt(bytes: Buffer, from: number, end: number): number {
  for (let at = from; at < end; at++) if (bytes[at] === 0) return at;
  throw new ProtocolViolation('a string without its end');
}

/**
 * A name in a message, as the server tells names apart; its bytes as Latin-1.
 *
 * @param likely what it may well be: if it is, no new string is made
 */
export function nameAt(bytes: Buffer, from: number, to: number, likely = ''): string {
  if (from === to) return '';
  const end = Math.min(to, from + NAME_BYTES);
  return isLatin1(bytes, from, end, likely) ? likely : bytes.toString('latin1', from, end);
}

/** True if these bytes, as Latin-1, are the text. */
export function isLatin1(bytes: Buffer, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** The same for a name in SQL text. */
export function nameInText(name: string): string {
  const bytes = Buffer.from(name, 'utf8');
  return nameAt(bytes, 0, bytes.length);
}

/** False for names whose meaning depends on client_encoding: the same bytes may be two names, so they stay unknown. */
export function isAscii(name: string): boolean {
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** What a Describe or Close message is about. @throws ProtocolViolation if its form is wrong */
export function targetOf(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly isStatement: boolean; readonly name: string } {
  const kind = bytes[start + 5];
  if (kind !== 0x53 && kind !== 0x50)
    throw new ProtocolViolation('Describe or Close of neither a statement nor a portal');
  const nameEnd = nulAt(bytes, start + 6, end);
  if (nameEnd + 1 !== end) throw new ProtocolViolation('Describe or Close has bytes after its last field');
  return { isStatement: kind === 0x53, name: nameAt(bytes, start + 6, nameEnd) };
}
