/**
 * The other side sent bytes that the protocol does not allow. The session cannot go on: nobody knows any more where
 * the next message starts or what the two servers would make of it.
 *
 * `message` is fit for the other side to read: it describes the message, and never quotes the bytes in it, which may
 * be a password.
 */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  /** ER_MALFORMED_PACKET (MySQL "Server Error Message Reference"). */
  readonly code = 1835;
  readonly sqlState = 'HY000';
}
