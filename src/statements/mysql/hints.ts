import type { Effect } from '../facts.ts';

/**
 * What an optimizer hint does to the session for the length of its statement (MySQL manual, "Optimizer Hints"). All other
 * hints only choose a plan.
 */
export function effectsOfHint(text: string): Effect[] {
  const found: Effect[] = [];
  const folded = text.toUpperCase();
  const settings = folded.split('SET_VAR').length - 1;
  const named = [...text.matchAll(/SET_VAR\s{0,9}\(\s{0,9}`?(\w{1,64})`?\s{0,9}=\s{0,9}'?([\w.,=@-]{0,200})/gi)];
  for (const [, name, value] of named) found.push(setSession(name!.toLowerCase(), value ?? ''));
  if (settings > named.length) found.push({ effect: 'set-session', object: null, predicate: null, via: 'hint' });
  const limit = /MAX_EXECUTION_TIME\s{0,9}\(\s{0,9}(\d{1,20})/i.exec(text);
  if (folded.includes('MAX_EXECUTION_TIME')) found.push(setSession('max_execution_time', limit?.[1] ?? ''));
  if (folded.includes('RESOURCE_GROUP')) found.push(setSession('resource_group', ''));
  return found;
}

function setSession(name: string, value: string): Effect {
  return {
    effect: 'set-session',
    object: { kind: 'setting', schema: null, name },
    predicate: null,
    via: 'hint',
    value,
  };
}
