import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { Approvals } from '../approvals/approvals.ts';
import type { Outbox } from '../approvals/outbox.ts';
import type { Question } from '../approvals/request.ts';
import type { RowSample } from '../approvals/row-sample.ts';
import type { Address, Config, ConnectionConfig } from '../config/config.ts';
import type { LiveSession } from '../gateway/gateway.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { Identity } from '../identity/identity.ts';
import type { Inventory } from '../identity/inventory.ts';
import type { LastLogins } from '../identity/last-logins.ts';
import type { SamlLogins } from '../identity/saml-logins.ts';
import type { Users } from '../identity/users.ts';
import type { RecordIndex } from '../recording/record-index/search.ts';
import type { EventFields, EventName } from '../recording/record-schema.ts';
import type { Lag } from '../recording/recording-thread.ts';
import type { Store } from '../store/store.ts';
import type { AuthenticationSources, Caller } from './authentication.ts';
import type { Audience } from './roles.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route; every route under /api/v1 has one. */
    audience: Audience;
  }
  interface FastifyRequest {
    /** Who sends it; there unless the route is public. */
    caller: Caller | null;
  }
}

/** A server whose routes have zod schemas. */
export type ApiServer = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>;

/** What the routes work with. */
export interface ApiServices extends AuthenticationSources {
  readonly config: Pick<Config, 'connections' | 'tls' | 'oidc' | 'longestCredentialMs' | 'approvals'>;
  /** Where each protocol is listened on, with the ports that the system chose. */
  readonly listening: { readonly [Protocol in Config['connections'][number]['protocol']]: Address | null };
  readonly credentials: Credentials;
  readonly approvals: Approvals;
  /** The first rows that a held statement is about, as somebody may see them; see HeldPreview.sampleFor. */
  sample(question: Question, viewer: Identity): Promise<RowSample>;
  /** `null` where no channels are told of requests for approval. */
  readonly outbox: Outbox | null;
  readonly store: Store;
  readonly users: Users;
  readonly lastLogins: LastLogins;
  /** `null` where nobody logs in by SAML. */
  readonly saml: SamlLogins | null;
  readonly inventory: Inventory;
  readonly log: Logger;
  /** Ids of the rules that allow an identity something on a connection, see RuleSet.grantsFor. */
  grantsFor(identity: Identity, connection: ConnectionConfig): string[];
  /** The sessions of this node. */
  sessions(): LiveSession[];
  /** This node's name in journals. */
  readonly node: string;
  /** `null` where records are not indexed. */
  recordIndex(): Promise<RecordIndex | null>;
  /** How far that is behind this node's journal; `null` before that is known. */
  indexLag(): Lag | null;
  /** @returns why the rules that were in force stay; `null` if those in the files are in force now */
  reload(): Promise<string | null>;
  /** Why nothing can be recorded; `null` if it can. */
  recordingFailure(): string | null;
  /** True if it is a user of sluice.yaml. */
  isUser(identity: Identity): boolean;
  /** Adds a record to the journal. */
  record<Name extends EventName>(event: Name, fields: EventFields<Name>): void;
}

/** Who sends a request to a route that is not public. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Error('a public route asks for its caller');
  return request.caller;
}
