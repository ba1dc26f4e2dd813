import type { Socket } from 'node:net';
import type { Address, ConnectionConfig, TlsConfig } from '../config/config.ts';
import type { Authenticated, Identity } from '../identity/identity.ts';
import type { SessionPins } from '../policy/session-rules.ts';
import type { ClientReads } from './client-reads.ts';
import { endSocket } from './end-socket.ts';
import type { Analyzer, Judge } from './judge.ts';
import type { NamesInForce } from './names-in-force.ts';
import type { Conditions } from './proof.ts';
import type { SessionServices } from './services.ts';
import type { Session } from './session.ts';
import type { UpstreamReader } from './upstream-reads.ts';

/** A client on its way from connecting to its session. */
export class Arrival {
  /** Address and port it connects from. */
  readonly from: string;
  /** Of the socket that it connected with. */
  readonly reads: ClientReads;
  #socket: Socket;
  /** True once it was told that it took too long. */
  isLate = false;

  constructor(reads: ClientReads, socket: Socket) {
    this.reads = reads;
    this.#socket = socket;
    this.from = `${socket.remoteAddress}:${socket.remotePort}`;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** From now on the client is reached through another socket, over TLS or compressed. */
  reachedThrough(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    this.#socket = socket;
  }

  /** False once it makes no sense to go on. */
  get isThere(): boolean {
    return !this.isLate && !this.#socket.destroyed;
  }

  /** Tells the client why, and hangs up. @param why `null` where there is nobody to tell */
  hangUp(why: Buffer | null): void {
    if (why === null) this.#socket.destroy();
    else endSocket(this.#socket, why);
  }
}

/** Why a client is not let in, for reasons that are the same in every protocol. */
export type Reason =
  | { readonly why: 'late'; readonly seconds: number }
  | { readonly why: 'shutting down' }
  | { readonly why: 'too many sessions' }
  | { readonly why: 'too many logins' }
  | { readonly why: 'too many failures'; readonly seconds: number }
  | { readonly why: 'without TLS' }
  | { readonly why: 'contradicting rules' }
  | { readonly why: 'access'; readonly message: string }
  | { readonly why: 'access unknown' }
  | { readonly why: 'internal error' };

/** A client is not let in. */
export class NotLetIn extends Error {
  /**
   * - `refused`: it asks for what is not to be had, or went away.
   * - `authentication`: it could not prove who it is.
   * - `violation`: it broke the protocol.
   * - `upstream`: the server behind Sluice cannot be had.
   */
  readonly kind: 'refused' | 'authentication' | 'violation' | 'upstream';
  /** What the client is told: the bytes of an error, or a reason of the gateway's own; `null` where there is nobody to tell. */
  readonly answer: Buffer | Reason | null;
  /** Who it said it was; `null` where it does not matter. */
  readonly user: string | null;

  /** @param message for the log */
  constructor(kind: NotLetIn['kind'], message: string, answer: NotLetIn['answer'], user: string | null = null) {
    super(message);
    this.name = 'NotLetIn';
    this.kind = kind;
    this.answer = answer;
    this.user = user;
  }
}

/** How clients of one protocol get in. */
export interface Entrance {
  readonly protocol: ConnectionConfig['protocol'];
  readonly listen: Address;
  /** Logs the client in and begins its session. @throws NotLetIn, or what is a mistake of ours */
  enter(arrival: Arrival): Promise<void>;
  /** Other certificates, for clients that connect from now on. */
  renewTls(config: TlsConfig): void;
  /** A session that began here is over. */
  ended(session: Session): void;
  /** The error that tells the client. */
  encodeError(arrival: Arrival, reason: Reason): Buffer;
}

/** An upstream connection that is logged in. */
export interface UpstreamLink {
  readonly socket: Socket;
  /** Gives what is read from now on to `reader`, and what has been read already at once. */
  readBy(reader: UpstreamReader): void;
}

/** What the record of a session's start says besides who is in it. */
export interface Begun {
  /** What the server calls the connection by: its process id or thread id. */
  readonly pid: number;
  /** What the client set at its start; `null` where its protocol has no such thing. */
  readonly parameters: ReadonlyMap<string, string> | null;
}

/** What an entrance needs of the gateway. */
export interface Inside {
  readonly services: SessionServices;
  /**
   * Lets whom has proved who it is into a connection, and records it.
   * @throws NotLetIn if it is locked, has ended, or is for others; AccessUnknown
   */
  admit(arrival: Arrival, authenticated: Authenticated, connection: ConnectionConfig): void;
  readonly conditions: Conditions;
  /** The judge of an identity on a connection; the same one for all its sessions there. */
  judgeOf(identity: Identity, connection: ConnectionConfig, analyzer: Analyzer): Judge;
  /** What names mean on a connection; `null` where nothing depends on it. */
  namesOf(connection: ConnectionConfig): Promise<NamesInForce | null>;
  /** What the session is pinned to. @throws NotLetIn if the rules contradict each other */
  pinsOf(identity: Identity, connection: ConnectionConfig): SessionPins;
  /** Connects an upstream if there is room for one more session. @throws NotLetIn */
  withRoom<Link extends UpstreamLink>(arrival: Arrival, connect: () => Promise<Link>): Promise<Link | null>;
  /**
   * Records that the session has begun, and joins the sockets by it.
   *
   * @param greet sends what tells the client that it is in
   */
  begin(arrival: Arrival, session: Session, upstream: UpstreamLink, begun: Begun, greet: () => void): void;
  /** Ends a session and keeps its client, who logs in anew. @param reason for the record of its end */
  again(session: Session, reason: string, enter: (arrival: Arrival) => Promise<void>): void;
}
