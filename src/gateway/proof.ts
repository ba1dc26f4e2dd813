import type { Socket } from 'node:net';
import type { Backoff } from '../identity/backoff.ts';
import { NotLetIn } from './entrance.ts';
import { isLoopback } from './link.ts';

/** What is asked of every client before it proves who it is, whichever protocol it speaks. */
export interface Conditions {
  readonly backoff: Backoff;
  /** True if clients of this machine may do without TLS. */
  readonly clearOnLoopback: boolean;
}

/**
 * Has a client prove who it is: over TLS, and not while too many have failed from its address or in this name.
 *
 * @param user whose secret it is asked for; `null` where nothing can be guessed, as a token
 * @param prove throws an error with a `user` if the proof is wrong
 * @throws NotLetIn, and what `prove` throws
 */
export async function proved<Proof>(
  { backoff, clearOnLoopback }: Conditions,
  client: { readonly socket: Socket; readonly isSecure: boolean },
  user: string | null,
  prove: () => Promise<Proof>,
): Promise<Proof> {
  const source = client.socket.remoteAddress ?? '';
  if (!client.isSecure && !(clearOnLoopback && isLoopback(client.socket))) {
    throw new NotLetIn('refused', 'a login without TLS', { why: 'without TLS' });
  }
  const attempt = { source, user };
  const refuse = (): void => {
    const wait = backoff.waitFor(attempt);
    if (wait === 0) return;
    const seconds = Math.ceil(wait / 1000);
    throw new NotLetIn('refused', `too many failed logins of ${user ?? 'tokens'}`, {
      why: 'too many failures',
      seconds,
    });
  };
  refuse();
  let proof: Proof;
  try {
    proof = await prove();
  } catch (error) {
    const isFailure = (error as { user?: string | null }).user != null;
    try {
      // Others may have failed meanwhile: whoever guesses on many connections at once learns nothing from the rest of them.
      if (isFailure) refuse();
    } finally {
      if (isFailure) backoff.failed(attempt);
    }
    throw error;
  }
  refuse();
  backoff.succeeded(attempt);
  return proof;
}
