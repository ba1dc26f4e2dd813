/** How a command ends; docs/cli.md explains them to users. */
export const EXIT = {
  ok: 0,
  /** It ran, and found a problem or was refused. */
  problem: 1,
  /** Wrong arguments, or a configuration that cannot be used. */
  usage: 2,
  /** What it needed to talk to did not answer. */
  unreachable: 3,
} as const;

/** Ends a command with a message for the user instead of a stack trace. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
