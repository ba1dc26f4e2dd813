/**
 * Prepared statements and portals by name, as the server will know them.
 *
 * A Parse, Bind or Close takes effect here when it is sent, so that what follows it in a pipeline is judged under the
 * name it will have. If the server then discards the message (an error before it, up to the Sync), the change is undone.
 * While a change is unconfirmed and older messages than the current pipeline segment decide about it, the name is
 * *ambiguous*: the server may know either of two statements by it, and the session has to wait before it judges.
 */
export class NameTable<T> {
  #slots = new Map<string, Slot<T>>();

  /** What the name means if everything that was sent succeeds; `null` if nothing. */
  get(name: string): T | null {
    return this.#slots.get(name)?.value ?? null;
  }

  /**
   * @param segment the pipeline segment (between two Syncs) the reference is in. A change in the same segment settles what
   *   the name means: if the server discards the change, it discards the reference too.
   */
  isAmbiguous(name: string, segment: number): boolean {
    const slot = this.#slots.get(name);
    if (slot === undefined || slot.last === null || slot.last.segment >= segment) return false;
    // At most two steps: of two changes in a row, one had something before it.
    for (let change = slot.first; change !== null; change = change.next) if (change.previous !== null) return true;
    return false;
  }

  /** Sets (or with `null` removes) a name by a message just sent; {@link confirmChange} or {@link undoChange} the result when the server has answered. */
  change(name: string, value: T | null, segment: number): NameChangeSent<T> {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = { name, table: this.#slots, value: null, first: null, last: null };
      this.#slots.set(name, slot);
    }
    const change = new NameChangeSent(slot, slot.value, segment);
    change.before = slot.last;
    if (slot.last === null) slot.first = change;
    else slot.last.next = change;
    slot.last = change;
    slot.value = value;
    return change;
  }

  /** Sets (or with `null` removes) a name the server has confirmed already. */
  set(name: string, value: T | null): void {
    confirmChange(this.change(name, value, 0));
  }

  /** Something else may have changed all names but `name`: nothing is known of them any more, whatever is confirmed or undone later. */
  forgetAllBut(name: string): void {
    const kept = this.#slots.get(name);
    this.#slots = new Map();
    if (kept === undefined) return;
    this.#slots.set(name, kept);
    kept.table = this.#slots;
  }

  /** Forgets every name without an unconfirmed change, but for `except`. */
  clear(except?: string): void {
    for (const [name, slot] of this.#slots) {
      if (slot.first !== null || name === except) continue;
      slot.value = null;
      dropEmpty(slot);
    }
  }
}

interface Slot<T> {
  readonly name: string;
  table: Map<string, Slot<T>>;
  value: T | null;
  /** Unconfirmed changes, oldest first. */
  first: NameChangeSent<T> | null;
  last: NameChangeSent<T> | null;
}

/** A change of a name by a message whose answer is outstanding. */
export class NameChangeSent<T> {
  readonly slot: Slot<T>;
  /** What the name meant before. */
  previous: T | null;
  /** The pipeline segment of the message. */
  readonly segment: number;
  /** The unconfirmed changes of the same name before and after it. */
  before: NameChangeSent<T> | null = null;
  next: NameChangeSent<T> | null = null;

  constructor(slot: Slot<T>, previous: T | null, segment: number) {
    this.slot = slot;
    this.previous = previous;
    this.segment = segment;
  }
}

/** The server did it. Changes of one name are confirmed in the order they were made. */
export function confirmChange<T>(change: NameChangeSent<T>): void {
  unlink(change);
}

/** The server did not do it: what the name meant before holds again, unless a later change stands. */
export function undoChange<T>(change: NameChangeSent<T>): void {
  if (change.next === null) change.slot.value = change.previous;
  else change.next.previous = change.previous;
  unlink(change);
}

/** In constant time, wherever it stands: a pipeline can hold a hundred thousand changes of one name. */
function unlink<T>(change: NameChangeSent<T>): void {
  const { slot, before, next } = change;
  if (before === null) slot.first = next;
  else before.next = next;
  if (next === null) slot.last = before;
  else next.before = before;
  dropEmpty(slot);
}

/** The slot of the unnamed one stays: every query of some drivers would make it anew. */
function dropEmpty<T>(slot: Slot<T>): void {
  if (slot.first === null && slot.value === null && slot.name !== '') slot.table.delete(slot.name);
}
