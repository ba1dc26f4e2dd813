import { type Stats, unwatchFile, watchFile } from 'node:fs';

/**
 * Tells of changes to files, once they have settled: a file that is half written can be a valid one with fewer rules. Files
 * are looked at rather than watched, since notices do not come for files on a network, for those that a symbolic link
 * leads to, and for those that an editor, Git or Kubernetes puts in the place of another.
 */
export class FileWatch {
  readonly #changed: () => void;
  readonly #lookMs: number;
  #paths: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param lookMs how often files are looked at; a change counts after twice that time without another */
  constructor(changed: () => void, lookMs = 1000) {
    this.#changed = changed;
    this.#lookMs = lookMs;
  }

  /** Watches these files from now on, and no others. One that is not there is watched for. */
  watch(paths: readonly string[]): void {
    const wanted = new Set(paths);
    for (const path of this.#paths) if (!wanted.has(path)) unwatchFile(path, this.#noticed);
    for (const path of wanted) {
      if (!this.#paths.includes(path)) watchFile(path, { interval: this.#lookMs, persistent: false }, this.#noticed);
    }
    this.#paths = [...wanted];
  }

  close(): void {
    this.watch([]);
    clearTimeout(this.#timer);
  }

  readonly #noticed = (now: Stats, before: Stats): void => {
    // That a file is not there is told once, with nothing before and nothing now.
    if (now.nlink === 0 && before.nlink === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#changed, 2 * this.#lookMs).unref();
  };
}
