import type { FastifyRequest } from 'fastify';
import type { Role } from '../config/config.ts';
import type { Access } from '../identity/access.ts';
import type { Backoff } from '../identity/backoff.ts';
import type { Authenticated } from '../identity/identity.ts';
import { isLoginToken, type Logins } from '../identity/logins.ts';
import type { PasswordCheck } from '../identity/password-check.ts';
import { TokenRefused, type TokenVerifier } from '../identity/token-verifier.ts';
import { currentTime } from '../store/clock.ts';
import { ApiError } from './api-error.ts';
import { rolesOf } from './roles.ts';

/** Who sends a request. */
export interface Caller {
  readonly authenticated: Authenticated;
  /** Id of the login its token is of; `null` where the token is not Sluice's own. */
  readonly login: string | null;
  readonly roles: readonly Role[];
}

export interface AuthenticationSources {
  /** Of users of sluice.yaml. */
  readonly passwords: PasswordCheck;
  readonly logins: Logins;
  /** `null` where no tokens of providers are accepted. */
  readonly tokens: TokenVerifier | null;
  readonly access: Access;
  /** The same as for logins to databases: what is guessed here counts there. */
  readonly backoff: Backoff;
  readonly roles: { readonly [Name in Role]: readonly string[] };
}

/** Somebody did not prove who they are. `reason` is for the record, the client is not told. */
export class NotAuthenticated extends ApiError {
  readonly reason: string;
  /** Who they said they were; `null` where a token says it. */
  readonly user: string | null;

  constructor(reason: string, user: string | null) {
    super(401, 'unauthenticated', 'The login is not accepted. Log in and try again.');
    this.reason = reason;
    this.user = user;
  }
}

/**
 * Finds out who sends a request, from its Authorization header: a token of a provider or of a login as `Bearer`, a user of
 * sluice.yaml as `Basic`. Short-lived credentials are for databases: nobody logs in here with one.
 *
 * @throws NotAuthenticated; AccessUnknown if the store cannot be asked
 */
export async function authenticate(request: FastifyRequest, sources: AuthenticationSources): Promise<Caller> {
  const { authorization } = request.headers;
  if (authorization === undefined) throw new ApiError(401, 'unauthenticated', 'Log in first.');
  const [, scheme = '', value = ''] = /^(\S+) +(\S+) *$/.exec(authorization) ?? [];
  const { access, roles, backoff } = sources;
  const basic = scheme.toLowerCase() === 'basic' ? basicOf(value) : null;
  const attempt = { source: request.ip, user: basic?.user ?? null };
  const wait = Math.ceil(backoff.waitFor(attempt) / 1000);
  if (wait > 0) throw new ApiError(429, 'too_many_failures', `Too many failed logins: try again in ${wait} s.`);
  const { authenticated, login } = await (basic === null
    ? byToken(scheme.toLowerCase(), value, sources)
    : byPassword(basic, sources)
  ).catch((error) => {
    if (error instanceof NotAuthenticated) backoff.failed(attempt);
    throw error;
  });
  backoff.succeeded(attempt);
  access.check();
  const { identity, expiresAt } = authenticated;
  const refusal =
    access.refusal(authenticated) ?? (expiresAt !== null && expiresAt <= currentTime() ? 'it has expired' : null);
  if (refusal !== null) throw new NotAuthenticated(refusal, identity.subject);
  return { authenticated, login, roles: rolesOf(identity, roles) };
}

interface UserAndPassword {
  readonly user: string;
  readonly password: string;
}

/** RFC 7617 */
function basicOf(value: string): UserAndPassword {
  const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(value, 'base64').toString()) ?? [];
  return { user, password };
}

type Proof = Pick<Caller, 'authenticated' | 'login'>;

async function byPassword({ user, password }: UserAndPassword, { passwords }: AuthenticationSources): Promise<Proof> {
  const authenticated = await passwords.check(user, password);
  if (authenticated === null) throw new NotAuthenticated('wrong user or password', user);
  return { authenticated, login: null };
}

async function byToken(scheme: string, value: string, { logins, tokens }: AuthenticationSources): Promise<Proof> {
  if (scheme !== 'bearer') throw new ApiError(401, 'unauthenticated', 'The Authorization has to be Bearer or Basic.');
  if (isLoginToken(value)) {
    const login = await logins.find(value);
    if (login === null) throw new NotAuthenticated('the login has ended, or there is none', null);
    return { authenticated: login.authenticated, login: login.id };
  }
  if (tokens === null) throw new NotAuthenticated('tokens of providers are not accepted here', null);
  try {
    return { authenticated: await tokens.verify(value), login: null };
  } catch (error) {
    if (!(error instanceof TokenRefused)) throw error;
    throw new NotAuthenticated(`token refused: ${error.message}`, null);
  }
}
