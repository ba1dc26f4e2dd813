import { isIP } from 'node:net';
import type { Address } from './config.ts';

/** `host:port`, `[::1]:6432`. Throws an Error that says what is wrong with it. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(text);
  if (match === null) throw new Error(`must be host:port (an IPv6 address in brackets: "[::1]:6432")`);
  const host = match[1] ?? match[2] ?? '';
  if (match[1] !== undefined ? isIP(host) !== 6 : !isHost(host))
    throw new Error(`"${host}" is not a host name or address`);
  const port = Number(match[3]);
  if (port > 65535) throw new Error(`port ${match[3]} is not between 0 and 65535`);
  return { host, port };
}

/** The text {@link parseAddress} reads. */
export function formatAddress(address: Address): string {
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** An IP address, or a name of labels of letters, digits, `-` and (common in containers) `_`. */
export function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  if (text.length > 253 || /^[\d.]+$/.test(text)) return false;
  return text.split('.').every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
}

/** True if only processes of this machine can connect. A name other than `localhost` counts as reachable from outside. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
