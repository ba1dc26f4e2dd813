/** What a key asks for at a pause: to go on, to another statement, or to the end of the replay. */
export type Jump = 'none' | 'next' | 'back' | 'end';

const SLOWEST = 1 / 16;
const FASTEST = 1024;

/** When the next event of a replay comes: in its own time, divided by the speed, unless keys say otherwise. */
export class Pace {
  readonly #longestMs: number;
  #speed: number;
  #isPaused = false;
  /** A key that came while nothing waited. */
  #asked: Jump = 'none';
  #pause: { readonly ms: number; timer: NodeJS.Timeout | null; done(jump: Jump): void } | null = null;

  /** @param longestMs longest pause, whatever the speed */
  constructor(speed: number, longestMs: number) {
    this.#speed = speed;
    this.#longestMs = longestMs;
  }

  /** Resolves when what comes so long after what was shown is to be shown, or with what a key asked for. @param ms in its own time */
  pause(ms: number): Promise<Jump> {
    const asked = this.#asked;
    this.#asked = 'none';
    if (asked !== 'none') return Promise.resolve(asked);
    return new Promise((resolve) => {
      const done = (jump: Jump) => {
        const { timer } = this.#pause!;
        if (timer !== null) clearTimeout(timer);
        this.#pause = null;
        resolve(jump);
      };
      this.#pause = { ms, timer: null, done };
      this.#schedule();
    });
  }

  press(key: string): void {
    switch (key) {
      case ' ':
        this.#isPaused = !this.#isPaused;
        break;
      case '+':
        this.#speed = Math.min(FASTEST, this.#speed * 2);
        break;
      case '-':
        this.#speed = Math.max(SLOWEST, this.#speed / 2);
        break;
      case 'n':
        this.#jump('next');
        return;
      case 'b':
        this.#jump('back');
        return;
      case 'q':
      case '\u0003':
        this.#jump('end');
        return;
      default:
        return;
    }
    this.#schedule();
  }

  #jump(jump: Jump): void {
    if (this.#pause === null) this.#asked = jump;
    else this.#pause.done(jump);
  }

  /** Begins the pause that is on anew, at the speed that is in force now. */
  #schedule(): void {
    const pause = this.#pause;
    if (pause === null) return;
    if (pause.timer !== null) clearTimeout(pause.timer);
    pause.timer = this.#isPaused
      ? null
      : setTimeout(() => pause.done('none'), Math.min(pause.ms / this.#speed, this.#longestMs));
  }
}
