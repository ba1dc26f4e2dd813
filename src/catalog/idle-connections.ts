/** Connections of Sluice's own that nobody uses now, kept for a while for whoever needs one next. */
export class IdleConnections<C extends { close(): void }> {
  readonly #keepMs: number;
  readonly #idle = new Map<string, { readonly connection: C; readonly timer: NodeJS.Timeout }[]>();
  #isClosed = false;

  /** @param keepMs how long one is kept, milliseconds */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** One that was kept under the key, which is the caller's now; `null` if there is none. */
  take(key: string): C | null {
    const idle = this.#idle.get(key)?.pop();
    if (idle === undefined) return null;
    clearTimeout(idle.timer);
    return idle.connection;
  }

  /** Keeps one that is as good as new; closes it once all are closed. */
  keep(key: string, connection: C): void {
    if (this.#isClosed) {
      connection.close();
      return;
    }
    const idle = this.#idle.get(key) ?? [];
    this.#idle.set(key, idle);
    const timer = setTimeout(() => {
      idle.splice(
        idle.findIndex((one) => one.connection === connection),
        1,
      );
      if (idle.length === 0) this.#idle.delete(key);
      connection.close();
    }, this.#keepMs).unref();
    idle.push({ connection, timer });
  }

  close(): void {
    this.#isClosed = true;
    for (const { connection, timer } of [...this.#idle.values()].flat()) {
      clearTimeout(timer);
      connection.close();
    }
    this.#idle.clear();
  }
}
