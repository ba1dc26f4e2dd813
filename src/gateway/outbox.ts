import type { Socket } from 'node:net';

/** Below, what is staged is put together before it is written, bytes. */
const SMALL = 4096;

/**
 * Bytes staged for one socket, in order. Ranges of one chunk that touch each other are one write, so that what is
 * allowed as a whole leaves as it came.
 */
export class Outbox {
  #done: Buffer[] = [];
  #bytes: Buffer | null = null;
  #start = 0;
  #end = 0;
  #markDone = 0;
  #markBytes: Buffer | null = null;
  #markStart = 0;
  #markEnd = 0;

  get isEmpty(): boolean {
    return this.#bytes === null && this.#done.length === 0;
  }

  add(bytes: Buffer, start: number, end: number): void {
    if (bytes === this.#bytes && start === this.#end) {
      this.#end = end;
      return;
    }
    this.#seal();
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  addMessage(bytes: Buffer): void {
    this.add(bytes, 0, bytes.length);
  }

  /** Remembers what is staged now, for {@link cutBack}. What is added next may still join the last range. */
  mark(): void {
    this.#markDone = this.#done.length;
    this.#markBytes = this.#bytes;
    this.#markStart = this.#start;
    this.#markEnd = this.#end;
  }

  /** Drops what was added since {@link mark}. */
  cutBack(): void {
    this.#done.length = this.#markDone;
    this.#bytes = this.#markBytes;
    this.#start = this.#markStart;
    this.#end = this.#markEnd;
  }

  clear(): void {
    this.#done = [];
    this.#bytes = null;
  }

  /** Takes out what is staged, in order. */
  take(): Buffer[] {
    this.#seal();
    const taken = this.#done;
    this.#done = [];
    return taken;
  }

  /**
   * Writes what is staged, in one write where it is one range and one system call otherwise.
   * @returns false if the socket's buffer is full
   */
  writeTo(socket: Socket): boolean {
    if (this.#done.length === 0) {
      const bytes = this.#bytes;
      if (bytes === null) return true;
      this.#bytes = null;
      return socket.write(
        this.#start === 0 && this.#end === bytes.length ? bytes : bytes.subarray(this.#start, this.#end),
      );
    }
    this.#seal();
    const parts = this.#done;
    this.#done = [];
    let bytes = 0;
    for (let i = 0; i < parts.length; i++) bytes += parts[i]!.length;
    // Copying little costs less than what Node does for a write of several parts.
    if (bytes < SMALL) return socket.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes));
    socket.cork();
    let room = true;
    for (let i = 0; i < parts.length; i++) room = socket.write(parts[i]!);
    socket.uncork();
    return room;
  }

  #seal(): void {
    const bytes = this.#bytes;
    if (bytes === null) return;
    this.#bytes = null;
    this.#done.push(this.#start === 0 && this.#end === bytes.length ? bytes : bytes.subarray(this.#start, this.#end));
  }
}
