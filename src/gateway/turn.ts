import type { Journal } from '../recording/journal.ts';

/** Something that has bytes staged for the end of the turn. */
export interface TurnMember {
  /** Reads what came for it in this turn. */
  takeIn(): void;
  /** Last records of this turn, before the journal is written. */
  beforeFlush(): void;
  /** The turn's records are safe: send what is staged. */
  release(): void;
  /** The turn's records could not be written: nothing that is staged and recorded may be sent. */
  unrecorded(): void;
}

/** How long a record of what has happened may wait for company, milliseconds. */
const SOON_MS = 5;

/**
 * The end of an event-loop turn: everything staged during the turn is recorded in one write, then sent.
 * `setImmediate` runs right after the poll phase, so one turn covers what all sockets brought in it.
 */
export class Turn {
  readonly #journal: Journal;
  #members: TurnMember[] = [];
  #scheduled = false;
  /** Made once: it is needed many times a second. */
  #timer: NodeJS.Timeout | null = null;
  #awake = false;

  constructor(journal: Journal) {
    this.#journal = journal;
    journal.onDue = () => this.wake();
  }

  /** Has `member` called at the end of this turn; call once per member and turn. */
  join(member: TurnMember): void {
    this.#members.push(member);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#end);
  }

  /**
   * Makes sure that the journal is written soon. For records of what has happened already: nothing waits for them, so
   * they go out with the next turn's attempts, or alone if there are none for a moment.
   */
  wake(): void {
    if (this.#awake || this.#scheduled) return;
    this.#awake = true;
    if (this.#timer === null) this.#timer = setTimeout(this.#flush, SOON_MS);
    else this.#timer.refresh();
  }

  readonly #flush = (): void => {
    this.#awake = false;
    // The end of a turn alone may find out that the journal fails: it knows whose statements not to send.
    if (!this.#scheduled && this.#journal.failure === null) this.#journal.flush();
  };

  readonly #end = (): void => {
    const members = this.#members;
    // Who reads may have another join.
    for (let i = 0; i < members.length; i++) members[i]!.takeIn();
    this.#scheduled = false;
    this.#members = [];
    for (let i = 0; i < members.length; i++) members[i]!.beforeFlush();
    const journal = this.#journal;
    // After a failure nothing is attempted until the housekeeping has made the journal work again.
    const recorded = journal.failure !== null || !journal.isAwaited || journal.flush();
    for (let i = 0; i < members.length; i++) {
      if (recorded) members[i]!.release();
      else members[i]!.unrecorded();
    }
    if (journal.dirty) this.wake();
  };
}
