import { createServer } from 'node:net';

/** A TCP port nobody listens on at 127.0.0.1 now. Another process may still take it first: callers retry. */
export async function freePort(): Promise<number> {
  return listenOnce(0);
}

/**
 * The same for somebody who listens there again later: one that the system gives nobody by itself, neither to those who listen
 * at any port nor to those who connect.
 */
export async function ownPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const found = await listenOnce(port).catch(() => null);
    if (found !== null) return found;
  }
}

async function listenOnce(port: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no port');
  return address.port;
}
