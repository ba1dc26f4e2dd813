import type { ConnectionConfig } from '../config/config.ts';
import type { CredentialUse, Identity } from '../identity/identity.ts';
import type { SessionClaims } from './claims.ts';
import type { Judge } from './judge.ts';
import type { NamesInForce } from './names-in-force.ts';

/** What a session begins with. */
export interface SessionStart {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly identity: Identity;
  /** When the identity ends and the session with it, milliseconds since the epoch; `null` for never. */
  readonly expiresAt: number | null;
  /** The short-lived credential of the login, if it was by one. */
  readonly credential: CredentialUse | undefined;
  readonly connection: ConnectionConfig;
  readonly judge: Judge;
  /** What names mean on the connection when the session begins; see Session.setNames. */
  readonly names: NamesInForce | null;
  /** Asks the upstream to cancel what this session runs; resolves when it has been told. */
  readonly cancel: () => Promise<void>;
  /** Asks the upstream to end what this session runs for good: of what was sent already, nothing more begins if that can be had. */
  readonly kill: () => Promise<void>;
  /** Where the client connects from, without port. */
  readonly address: string;
  readonly tls: boolean;
  /** What the client says about itself and all its statements. */
  readonly claims: SessionClaims;
}
