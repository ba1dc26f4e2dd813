/** Most groups an identity is taken to be in: rules go through them for each statement. */
export const MOST_GROUPS = 500;
const LONGEST = 255;

/** True for what can be shown in records, logs and terminals. */
export function isName(text: string): boolean {
  return text.length > 0 && text.length <= LONGEST && !/\p{Cc}/u.test(text);
}
