/**
 * OAUTHBEARER: RFC 7628, in the way PostgreSQL 18 uses it (its documentation, "SASL Authentication", OAUTHBEARER): no
 * authorization identity, no channel binding, and a client without a token may ask first where to get one.
 */

import { isAscii } from 'node:buffer';
import { ProtocolViolation } from './violation.ts';

export const OAUTHBEARER = 'OAUTHBEARER';

const SEPARATOR = '\x01';
/** The client's only answer to an error: "the client MUST then send either an additional client response consisting of a single %x01" (3.2.3). */
const DUMMY_RESPONSE = Buffer.from(SEPARATOR, 'latin1');

/** Where a client can get a token that would be accepted. */
export interface OAuthBearerError {
  /** The issuer's identifier. */
  readonly issuer: string;
  /** Scopes to ask for, divided by spaces. */
  readonly scope: string;
}

/**
 * The token in a client's initial response.
 *
 * @returns the token, or `null` if the client asks where to get one
 * @throws ProtocolViolation
 */
export function decodeOAuthBearer(response: Buffer): string | null {
  if (!isAscii(response)) throw violation('has other characters than ASCII');
  // The header, then pairs of key and value, each with a separator behind it, and one more separator.
  const parts = response.toString('latin1').split(SEPARATOR);
  const header = /^[ny],([^,]*),$/.exec(parts[0]!);
  if (header === null) throw violation('does not begin with a GS2 header without channel binding');
  if (header[1] !== '') throw violation('has an authorization identity');
  if (parts.length < 3 || parts.at(-1) !== '' || parts.at(-2) !== '') throw violation('does not end as it must');
  let token: string | null = null;
  let isThere = false;
  for (const pair of parts.slice(1, -2)) {
    const [, key, value] = /^([A-Za-z]+)=([\x20-\x7e\t\r\n]*)$/.exec(pair) ?? [];
    if (key === undefined || value === undefined) throw violation('has something that is no key and value');
    if (key !== 'auth') continue;
    if (isThere) throw violation('has more than one auth');
    isThere = true;
    if (value === '') continue;
    const bearer = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(value);
    if (bearer === null) throw violation('has an auth that is no bearer token');
    token = bearer[1]!;
  }
  if (!isThere) throw violation('has no auth');
  return token;
}

/** The server's answer to a token that is not accepted, or to a client that asks where to get one (3.2.2). */
export function encodeOAuthBearerError({ issuer, scope }: OAuthBearerError): Buffer {
  const discovery = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  return Buffer.from(JSON.stringify({ status: 'invalid_token', 'openid-configuration': discovery, scope }), 'utf8');
}

/** @throws ProtocolViolation unless it is what a client says to an error */
export function checkOAuthBearerEnd(response: Buffer): void {
  if (!response.equals(DUMMY_RESPONSE)) throw violation('goes on after an error');
}

function violation(what: string): ProtocolViolation {
  return new ProtocolViolation(`the OAUTHBEARER exchange ${what}`);
}
