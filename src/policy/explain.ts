import type { Effect } from '../statements/facts.ts';
import { aboutEffects, type CompiledRule, matchedEffects } from './compiled-rule.ts';
import type { DecidableFacts, Subject } from './condition.ts';
import type { Moment } from './moment.ts';
import type { Verdict } from './verdict.ts';

/** A verdict, and what every rule had to say. */
export interface Explanation {
  readonly verdict: Verdict;
  /** By id. */
  readonly rules: readonly ExplainedRule[];
}

export interface ExplainedRule {
  readonly id: string;
  readonly section: CompiledRule['section'];
  readonly action: CompiledRule['action'];
  readonly shadow: boolean;
  /** True if its action is for what goes over a budget, and decides nothing before. */
  readonly isBudget: boolean;
  /** The effects it matches; empty if it does not. */
  readonly effects: readonly Effect[];
  /** The first key that failed, `tables`, `identities.groups`, `unless`, `if`; `null` if it matches. */
  readonly key: string | null;
  /** Why it does not match, as a sentence that begins in lower case and has no full stop; `null` if it matches. */
  readonly because: string | null;
}

/** What one rule says to a statement, by the same tests as the verdict. */
export function explainRule(
  rule: CompiledRule,
  facts: DecidableFacts,
  subject: Subject,
  moment: Moment | null,
): ExplainedRule {
  const { id, section, action, shadow } = rule;
  const about = aboutEffects(rule, facts, subject);
  const effects = matchedEffects(rule, about, facts, subject, moment);
  const failure = effects.length > 0 ? null : failureOf(rule, about, facts, subject, moment);
  const isBudget = rule.limits.length > 0;
  return { id, section, action, shadow, isBudget, effects, key: failure?.key ?? null, because: failure?.words ?? null };
}

function failureOf(
  rule: CompiledRule,
  about: readonly Effect[],
  facts: DecidableFacts,
  subject: Subject,
  moment: Moment | null,
): { readonly key: string; readonly words: string } {
  if (facts.effects.length === 0) return { key: 'match', words: 'the statement has no effects' };
  for (const test of rule.match.who) if (!test.holds(subject)) return test;
  if (about.length === 0) {
    // The effect that came furthest says most.
    let furthest = 0;
    for (const effect of facts.effects) {
      const failed = rule.match.what.findIndex((test) => !test.holds(effect, facts));
      furthest = Math.max(furthest, failed);
    }
    return rule.match.what[furthest]!;
  }
  for (const test of rule.match.when) if (!test.holds(moment)) return test;
  const withoutExpression = matchedEffects({ ...rule, expression: null }, about, facts, subject, moment);
  if (withoutExpression.length === 0) return { key: 'unless', words: 'it is excepted by unless' };
  return { key: 'if', words: 'the expression of if is not true' };
}
