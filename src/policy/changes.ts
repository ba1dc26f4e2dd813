import type { RuleFiles } from './load.ts';

type Sections = RuleFiles['sections'];

/** What another rule set changes, by ids, each list sorted. */
export interface RuleChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Those that say something else. */
  readonly changed: readonly string[];
}

export function ruleChanges(before: Sections, after: Sections): RuleChanges {
  const old = textsOf(before);
  const now = textsOf(after);
  return {
    added: [...now.keys()].filter((id) => !old.has(id)).sort(),
    removed: [...old.keys()].filter((id) => !now.has(id)).sort(),
    changed: [...now].flatMap(([id, text]) => (old.has(id) && old.get(id) !== text ? [id] : [])).sort(),
  };
}

/** What each rule says, by id. */
function textsOf({ rules, session, masks, detectors }: Sections): Map<string, string> {
  const texts = new Map<string, string>();
  for (const one of rules) texts.set(one.rule.id, JSON.stringify(one));
  for (const one of session) texts.set(one.id, JSON.stringify(one));
  for (const one of masks) texts.set(one.mask.id, JSON.stringify(one));
  for (const one of detectors) texts.set(one.detector.id, JSON.stringify(one));
  return texts;
}
