import type { Socket } from 'node:net';

/** How long a socket may take to send its last bytes and close, milliseconds. */
const LINGER_MS = 5_000;

/**
 * Ends a socket in bounded time: `last` and what is written still goes out, what comes in is thrown away. (A socket that
 * is left paused with bytes in it never sees the other side's end, and keeps its descriptor for good.)
 */
export function endSocket(socket: Socket, last?: Buffer): void {
  if (socket.destroyed) return;
  if (last === undefined || !socket.writable) socket.end();
  else socket.end(last);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
}
