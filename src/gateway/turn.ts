import type { Journal } from '../recording/journal.ts';

/** Something that has bytes staged for the end of the turn. */
export interface TurnMember {
  /** Last records of this turn, before the journal is written. */
  beforeFlush(): void;
  /** The turn's records are safe: send what is staged. */
  release(): void;
  /** The turn's records could not be written: nothing that is staged and recorded may be sent. */
  unrecorded(): void;
}

/**
 * The end of an event-loop turn: everything staged during the turn is recorded in one write, then sent.
 * `setImmediate` runs right after the poll phase, so one turn covers what all sockets brought in it.
 */
export class Turn {
  readonly #journal: Journal;
  #members: TurnMember[] = [];
  #scheduled = false;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Has `member` called at the end of this turn; call once per member and turn. */
  join(member: TurnMember): void {
    this.#members.push(member);
    this.wake();
  }

  /** Makes sure that the journal is written at the end of this turn. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#end);
  }

  readonly #end = (): void => {
    this.#scheduled = false;
    const members = this.#members;
    if (members.length === 0) {
      this.#journal.flush();
      return;
    }
    this.#members = [];
    for (let i = 0; i < members.length; i++) members[i]!.beforeFlush();
    const recorded = !this.#journal.dirty || this.#journal.flush();
    for (let i = 0; i < members.length; i++) {
      if (recorded) members[i]!.release();
      else members[i]!.unrecorded();
    }
  };
}
