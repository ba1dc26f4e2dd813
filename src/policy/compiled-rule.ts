import { parseSize } from '../config/quantity.ts';
import type { Effect } from '../statements/facts.ts';
import { type Approval, compileApproval } from './approval.ts';
import { type CompiledCondition, compileCondition, type DecidableFacts, type Subject } from './condition.ts';
import { DeferredExpression, type Expression } from './expression.ts';
import { compileLimits, type Limit } from './limit.ts';
import type { Moment } from './moment.ts';
import type { RuleSource } from './rule-schema.ts';

/** Of the result of one statement. */
export interface ResultLimits {
  readonly rows: number;
  /** Characters of its values. */
  readonly bytes: number;
}

/** A rule ready to be asked; masks and session rules become such rules as well. */
export interface CompiledRule {
  readonly id: string;
  /** The section of the file it is from. */
  readonly section: 'rules' | 'session' | 'masks' | 'detectors';
  readonly action: 'allow' | 'hold' | 'deny';
  readonly shadow: boolean;
  readonly match: CompiledCondition;
  readonly unless: CompiledCondition | null;
  readonly expression: Expression | null;
  /** For `hold`. */
  readonly approval: Approval | null;
  /** Not empty: the action is for what is over these budgets only. */
  readonly limits: readonly Limit[];
  /** How much of results is recorded; `null` if nothing is. */
  readonly recordResults: ResultLimits | null;
  readonly message: string | undefined;
  readonly hint: string | undefined;
}

export function compileRule(rule: RuleSource, shadow: boolean): CompiledRule {
  const strict = rule.action !== 'allow';
  return {
    id: rule.id,
    section: 'rules',
    action: rule.action,
    shadow,
    match: compileCondition(rule.match, strict),
    unless: rule.unless === undefined ? null : compileCondition(rule.unless, !strict),
    expression: rule.if === undefined ? null : new DeferredExpression(rule.if),
    approval: rule.action === 'hold' ? compileApproval(rule.id, rule.approval!) : null,
    limits: compileLimits(rule, shadow),
    recordResults: resultLimits(rule),
    message: rule.message,
    hint: rule.hint,
  };
}

const USUAL_RESULT = { rows: 100, bytes: 64 * 1024 };

function resultLimits({ record }: RuleSource): ResultLimits | null {
  if (record === undefined) return null;
  const { rows = USUAL_RESULT.rows, bytes = USUAL_RESULT.bytes } = record === 'results' ? {} : record.results;
  return { rows, bytes: typeof bytes === 'number' ? bytes : parseSize(bytes)! };
}

/** True if who, what or an expression of it can have another answer at the next execution. */
export function isVolatile({ match, unless, expression }: CompiledRule): boolean {
  return match.when.length > 0 || (unless !== null && unless.when.length > 0) || expression?.needsMoment === true;
}

/** Whom and what the rule is about, whatever the moment is: the effects that `match` holds for. */
export function aboutEffects(rule: CompiledRule, facts: DecidableFacts, subject: Subject): readonly Effect[] {
  for (const test of rule.match.who) if (!test.holds(subject)) return NONE;
  const { what } = rule.match;
  if (what.length === 0) return facts.effects;
  let hits: Effect[] | null = null;
  next: for (const effect of facts.effects) {
    for (const test of what) if (!test.holds(effect, facts)) continue next;
    hits ??= [];
    hits.push(effect);
  }
  return hits ?? NONE;
}

const NONE: readonly Effect[] = [];

/** Those of `about` that the rule matches at this moment. */
export function matchedEffects(
  rule: CompiledRule,
  about: readonly Effect[],
  facts: DecidableFacts,
  subject: Subject,
  moment: Moment | null,
): readonly Effect[] {
  if (!rule.match.when.every((test) => test.holds(moment))) return NONE;
  const { unless, expression } = rule;
  let hits = about;
  if (unless?.who.every((test) => test.holds(subject)) && unless.when.every((test) => test.holds(moment))) {
    hits = hits.filter((effect) => !unless.what.every((test) => test.holds(effect, facts)));
  }
  if (expression !== null && hits.length > 0) hits = hits.filter(asked(expression, rule, facts, subject, moment));
  return hits;
}

/** What cannot be evaluated matches if that makes the verdict stricter. */
function asked(
  expression: Expression,
  rule: CompiledRule,
  facts: DecidableFacts,
  subject: Subject,
  moment: Moment | null,
): (effect: Effect) => boolean {
  const inDoubt = rule.action !== 'allow';
  const { identity, connection, protocol } = subject;
  const visible = { facts, identity, connection, ...(protocol !== undefined && { protocol }) };
  let evaluations = 0;
  let last = inDoubt;
  return (effect) => {
    if (evaluations > 0 && !expression.readsEffect) return last;
    evaluations++;
    if (evaluations > expression.mostEvaluations) return inDoubt;
    last = expression.evaluate(visible, effect, moment) ?? inDoubt;
    return last;
  };
}
