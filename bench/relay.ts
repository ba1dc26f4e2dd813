/**
 * The bare relay: what any proxy written for Node pays before it does anything. Every budget that is a ratio is a ratio to it.
 *
 * A process of its own: `node bench/relay.ts UPSTREAM_PORT`. Prints the port it listens on, loopback only.
 */
import net, { type AddressInfo } from 'node:net';

const upstreamPort = Number(process.argv[2]);
if (!Number.isInteger(upstreamPort) || upstreamPort < 1 || upstreamPort > 65535) {
  console.error('usage: node bench/relay.ts UPSTREAM_PORT');
  process.exit(2);
}

// noDelay on both legs, as every database driver, PgBouncer and HAProxy set it.
const server = net.createServer({ noDelay: true }, (client) => {
  const upstream = net.connect({ host: '127.0.0.1', port: upstreamPort, noDelay: true });
  client.pipe(upstream);
  upstream.pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
});

// The default backlog of 511 would be a limit of the relay, not of the runtime, when thousands connect at once.
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log((server.address() as AddressInfo).port);
});
