/** Where a suite's clients connect. */
export interface Target {
  readonly name: 'direct' | 'sluice';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `null` where no password is asked for. */
  readonly password: string | null;
}

/** How one test of a suite ended. */
export interface TestOutcome {
  readonly test: string;
  readonly passed: boolean;
  /** What was seen and what was expected, as a diff where there is one; empty when passed. */
  readonly detail: string;
}

/** A third-party test suite, run as its authors run it. */
export interface Suite {
  readonly name: string;
  readonly protocol: 'postgres' | 'mysql';
  /** The plugin by which its MySQL clients are asked for the password, as the server itself asks them. */
  readonly mysqlPlugin?: 'mysql_native_password' | 'caching_sha2_password';
  /** Databases its clients ask for. */
  readonly databases: readonly string[];
  /** Starts a server of its own for one run, with nothing in it, and says how it is reached. */
  start(): Promise<{ readonly target: Omit<Target, 'name'>; stop(): Promise<void> }>;
  /**
   * Runs every test against `target`, writing into the empty `directory`, and calls `finished` as each one ends. The
   * result has every test of the suite: one that did not run, or not end in time, has failed.
   */
  run(
    target: Target,
    directory: string,
    finished: (outcome: Pick<TestOutcome, 'test' | 'passed'>) => void,
  ): Promise<TestOutcome[]>;
}

/** The environment of a suite's clients: this process's, without any PG* setting of the person who runs it. */
export function clientEnvironment(target: Target): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  return { ...Object.fromEntries(own), ...(target.password !== null && { PGPASSWORD: target.password }) };
}
