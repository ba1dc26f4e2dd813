import type { Socket } from 'node:net';
import type { Login } from '../raw-client.ts';
import type { Sluice, SluiceConnection } from '../sluice.ts';

/** What one worker of a scenario keeps from turn to turn. */
export interface Worker<Client> {
  readonly login: Login;
  /** How many turns it has done. */
  turn: number;
  /** Statements it has seen completed: each must be `ok` in the journal. */
  completed: number;
  /** The session that scenarios use which do not end theirs; the soak drops it after an error. */
  client: Client | null;
}

/** What clients do to Sluice during a soak: one turn, done again and again, that checks its answers. */
export interface Scenario<Client> {
  /** Also the name of the user it logs in as. */
  readonly name: string;
  readonly workers: number;
  /** Milliseconds between two turns of a worker. */
  readonly pause: number;
  /** Throws if anything is answered otherwise than it must be. */
  turn(worker: Worker<Client>): Promise<void>;
}

/** What one kind of client did. */
export interface ScenarioOutcome {
  readonly name: string;
  /** Turns of a scenario, transactions of pgbench. */
  turns: number;
  /** Statements it saw completed. */
  completed: number;
  /** What went otherwise than it must, with how often. */
  readonly errors: Map<string, number>;
}

/** A server, and what is done to it through Sluice. */
export interface Load<Client extends { readonly socket: Socket }> {
  /** The server's version, for the report. */
  readonly server: string;
  readonly connection: SluiceConnection;
  readonly rules: string;
  readonly scenarios: readonly Scenario<Client>[];
  /** Clients that are no scenario, by the names of their users. */
  readonly programs: readonly string[];
  /** Runs them for so long. @param notRun is told what cannot be run here */
  runPrograms(sluice: Sluice, password: string, seconds: number, notRun: string[]): Promise<ScenarioOutcome[]>;
  /** Makes Sluice open what it opens once. */
  openWhatStaysOpen(worker: Worker<Client>): Promise<void>;
  /** Opens so many sessions that do nothing until they are asked whether they still answer. */
  openIdle(login: Login, count: number): Promise<{ check(): Promise<void>; close(): Promise<void> }>;
  /** Sessions of Sluice's that the server has. */
  sessionsAtServer(): Promise<number>;
  /** Rows in the table `arrived`. */
  rowsArrived(): Promise<number>;
  stop(): Promise<void>;
}

export function noteError({ errors }: ScenarioOutcome, error: Error): void {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  const message = `${error.message}${cause}`;
  errors.set(message, (errors.get(message) ?? 0) + 1);
}
