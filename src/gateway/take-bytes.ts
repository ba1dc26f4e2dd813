import type { Socket } from 'node:net';
import { NotLetIn } from './entrance.ts';

/**
 * Exactly `count` bytes.
 *
 * The listener stays until it has them: one added anew for each part would be called at once, because there are bytes to
 * read, and again, and again.
 */
export function takeBytes(socket: Socket, count: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stop = (): void => {
    socket.off('readable', read);
    socket.off('end', gone);
    socket.off('close', gone);
  };
  const gone = (): void => {
    stop();
    reject(new NotLetIn('refused', 'the client closed the connection during login', null));
  };
  const read = (): void => {
    const bytes = socket.read(count) as Buffer | null;
    if (bytes === null) return;
    if (bytes.length < count) {
      gone(); // all there was before the end
      return;
    }
    stop();
    resolve(bytes);
  };
  socket.on('readable', read);
  socket.on('end', gone);
  socket.on('close', gone);
  if (socket.readableEnded || socket.destroyed) gone();
  else read();
  return promise;
}
