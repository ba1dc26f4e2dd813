import { createHash } from 'node:crypto';

/**
 * The answer to AuthenticationMD5Password, for a PasswordMessage (PostgreSQL documentation, "Message Flow", start-up).
 * Sluice gives it to upstream servers that want it and never asks for it: who sees the server's stored hash can log in.
 *
 * @param salt the 4 bytes of the AuthenticationMD5Password message
 */
export function md5Password(user: string, password: string, salt: Buffer): string {
  const stored = md5(Buffer.from(password + user, 'utf8'));
  return `md5${md5(Buffer.concat([Buffer.from(stored, 'latin1'), salt]))}`;
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}
