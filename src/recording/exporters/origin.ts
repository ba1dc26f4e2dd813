/** What a system that gets events wants to know of where they come from, besides what is in them. */
export interface Origin {
  /** Of Sluice. */
  readonly version: string;
  /** Name of the machine. */
  readonly hostname: string;
  /** The databases behind connections, by the connections' names; of a connection that is no longer configured there is none. */
  readonly targets: ReadonlyMap<string, Target>;
}

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly database: string;
}
