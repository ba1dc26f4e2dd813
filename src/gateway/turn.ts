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
  /** True if something is staged that may be sent only once its records are on the disk, and does not wait for that yet. */
  readonly needsDisk: boolean;
  /** The turn's records are written: what is staged waits until they are on the disk. */
  awaitDisk(): void;
  /** They are: as {@link release}. */
  onDisk(): void;
  /** They could not be brought there: as {@link unrecorded}. */
  notOnDisk(): void;
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
  /** Those whose records are being brought to the disk, and those who wait for the next time; `null` while nobody does. */
  #syncing: TurnMember[] | null = null;
  #awaiting: TurnMember[] = [];
  /** True if this turn's attempts were dropped before its end. */
  #isBroken = false;

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
    const recorded = !this.#isBroken && (journal.failure !== null || !journal.isAwaited || journal.flush());
    this.#isBroken = false;
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!;
      if (!recorded) member.unrecorded();
      else if (journal.durability === 'process' || !member.needsDisk) member.release();
      else {
        member.awaitDisk();
        this.#awaiting.push(member);
      }
    }
    if (this.#awaiting.length > 0 && this.#syncing === null) this.#sync();
    if (journal.dirty) this.wake();
  };

  /** All who wait now share one sync; those who come while it runs share the next. */
  #sync(): void {
    this.#syncing = this.#awaiting;
    this.#awaiting = [];
    this.#journal.sync(this.#onSynced);
  }

  readonly #onSynced = (isOnDisk: boolean): void => {
    let members = this.#syncing!;
    this.#syncing = null;
    if (!isOnDisk) {
      // Nothing that was written since is safe either, nor what this turn has attempted until now.
      members = [...members, ...this.#awaiting];
      this.#awaiting = [];
      this.#isBroken = this.#scheduled;
    }
    for (const member of members) {
      if (isOnDisk) member.onDisk();
      else member.notOnDisk();
    }
    if (this.#awaiting.length > 0 && this.#syncing === null) this.#sync();
  };
}
