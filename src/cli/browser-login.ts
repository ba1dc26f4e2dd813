import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CommandFailure, EXIT } from './failure.ts';
import { printable } from './terminal.ts';

/** How long somebody may take in the browser, milliseconds. */
const PATIENCE_MS = 600_000;

/**
 * Has somebody log in with the browser, which in the end comes back to a port of this machine (RFC 8252, 7.3).
 *
 * @param state what the browser has to bring back: any page in it can send it here, only this login knows the state
 * @param addressFor where the browser begins, by the address where it is to end
 * @param opens false if the address is only told
 * @returns where the browser ended, with what it brought in the query
 */
export async function loginByBrowser(
  state: string,
  addressFor: (redirect: string) => Promise<string> | string,
  opens: boolean,
): Promise<URL> {
  const { promise: came, resolve, reject } = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', redirect);
    const isIt = request.method === 'GET' && url.pathname === '/' && url.searchParams.get('state') === state;
    response.writeHead(isIt ? 200 : 404, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      connection: 'close',
    });
    response.end(isIt ? 'You can close this window and go on in the terminal.\n' : 'There is nothing here.\n');
    if (isIt) resolve(url);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const redirect = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const timer = setTimeout(
    () => reject(new CommandFailure(EXIT.problem, `Nobody logged in within ${PATIENCE_MS / 60_000} minutes.`)),
    PATIENCE_MS,
  );
  try {
    const address = await addressFor(redirect);
    console.error(`Log in with your browser: ${printable(address)}`);
    if (opens) open(address);
    return await came;
  } finally {
    clearTimeout(timer);
    server.close();
  }
}

/** Where there is no browser, the address that was told has to do. */
function open(address: string): void {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open']
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler']
        : ['xdg-open'];
  const child = spawn(command!, [...args, address], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}
