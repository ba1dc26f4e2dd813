/** It cannot be found out whether somebody may log in. */
export class AccessUnknown extends Error {
  override readonly name = 'AccessUnknown';
}
