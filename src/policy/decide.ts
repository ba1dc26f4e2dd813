import type { Effect, EffectName } from '../statements/facts.ts';
import type { Approval } from './approval.ts';
import { DEFAULT_APPROVAL } from './approval.ts';
import type { ResultLimits } from './compiled-rule.ts';
import { aboutEffects, type CompiledRule, compileRule, isVolatile, matchedEffects } from './compiled-rule.ts';
import type { DecidableFacts, Subject } from './condition.ts';
import { type Explanation, explainRule } from './explain.ts';
import type { Limit } from './limit.ts';
import { type MaskPlan, planOf } from './mask-plan.ts';
import {
  type CompiledDetector,
  type CompiledMask,
  compileDetector,
  compileMask,
  type MaskKeys,
  maskAsRules,
} from './masks.ts';
import type { Moment } from './moment.ts';
import { expandEffects, isTable } from './object-pattern.ts';
import { heldBecause, refusalOf } from './refusal-text.ts';
import type { DetectorSource, MaskSource, RuleSource, SessionRuleSource } from './rule-schema.ts';
import {
  type CompiledSessionRule,
  compileSessionRule,
  pinsAsRule,
  pinsFor,
  type SessionPins,
} from './session-rules.ts';
import type { Verdict } from './verdict.ts';

export type { DecidableFacts, Subject } from './condition.ts';
export type { Moment } from './moment.ts';

/**
 * From facts to a verdict.
 *
 * A rule matches an effect if every key of `match` holds for it, not every key of `unless`, and `if` is true. A deny rule
 * that matches any effect refuses the statement, whatever else matches; else hold rules that match any effect hold it, and
 * the approvals of all of them are needed. Where the connection's default is `deny` or `hold`, allow rules together have to
 * match every effect, or the default is the verdict unless it is milder than the rules'. Order never matters, shadow rules
 * never change a verdict, and a statement without effects (an empty query, `SELECT 1`) is allowed.
 *
 * What cannot be known counts against the statement: see object-pattern.ts for objects. The same holds for a moment that is
 * not given: what is allowed then is allowed at every moment.
 */

export interface LoadedRule {
  readonly rule: RuleSource;
  readonly shadow: boolean;
}

/** The other sections of rule files. */
export interface OtherSections {
  readonly session: readonly SessionRuleSource[];
  readonly masks: readonly { readonly mask: MaskSource; readonly shadow: boolean }[];
  readonly detectors: readonly { readonly detector: DetectorSource; readonly shadow: boolean }[];
}

const NO_MASKS = { masks: null, shadowMasks: [], isVolatile: false };

/** Effects that change or tell nothing but what the session itself has. */
const ON_SESSION: ReadonlySet<EffectName> = new Set<EffectName>([
  'set-session',
  'transaction',
  'cursor',
  'prepare',
  'execute',
  'explain',
]);

const NO_OTHERS: OtherSections = { session: [], masks: [], detectors: [] };

/** All rules in force, compiled. Immutable: a reload makes another one. */
export class RuleSet {
  /** Hash of the files' contents, 16 hex digits. */
  readonly version: string;
  /** Of all sections, by id. */
  readonly rules: readonly CompiledRule[];
  readonly masks: readonly CompiledMask[];
  readonly detectors: readonly CompiledDetector[];
  readonly #session: readonly CompiledSessionRule[];
  readonly #isShadow: boolean;
  /** Rules about nothing but the session itself. */
  readonly #ofSession: ReadonlySet<string>;

  /**
   * @param keys of maskers; without them values become NULL where one is needed
   * @param isShadow true if nothing of it, nor the default of a connection, does anything but say what it would have done
   */
  constructor(
    rules: readonly LoadedRule[],
    version: string,
    others: OtherSections = NO_OTHERS,
    keys: MaskKeys = new Map(),
    isShadow = false,
  ) {
    this.version = version;
    this.#isShadow = isShadow;
    if (isShadow) {
      rules = rules.map(({ rule }) => ({ rule, shadow: true }));
      others = {
        session: [],
        masks: others.masks.map(({ mask }) => ({ mask, shadow: true })),
        detectors: others.detectors.map(({ detector }) => ({ detector, shadow: true })),
      };
    }
    this.masks = others.masks.map(({ mask, shadow }) => compileMask(mask, shadow, keys)).sort(byId);
    this.detectors = others.detectors.map(({ detector, shadow }) => compileDetector(detector, shadow, keys)).sort(byId);
    this.#session = others.session.map(compileSessionRule).sort(byId);
    const isOfSession = ({ rule }: LoadedRule): boolean =>
      rule.match.effects !== undefined &&
      [...expandEffects(rule.match.effects)].every((effect) => ON_SESSION.has(effect));
    this.#ofSession = new Set(rules.filter(isOfSession).map(({ rule }) => rule.id));
    this.rules = [
      ...rules.map(({ rule, shadow }) => compileRule(rule, shadow)),
      ...others.session.map(pinsAsRule),
      ...others.masks.flatMap(({ mask, shadow }) => maskAsRules(mask, shadow)),
    ].sort(byId);
  }

  /** Ids of all rules, masks, detectors and session rules, sorted. */
  get ids(): readonly string[] {
    const ids = [...this.rules, ...this.masks, ...this.detectors].map(({ id }) => id);
    return [...new Set(ids)].sort();
  }

  /**
   * Ids of the rules that allow the subject something beyond its own session, and `default` if the connection allows what no
   * rule refuses.
   */
  grantsFor(subject: Subject): string[] {
    const isExempt = ({ unless }: CompiledRule): boolean =>
      unless !== null &&
      unless.what.length === 0 &&
      unless.when.length === 0 &&
      unless.who.every((test) => test.holds(subject));
    const granting = this.rules.filter(
      (rule) =>
        rule.action === 'allow' &&
        !rule.shadow &&
        rule.limits.length === 0 &&
        !this.#ofSession.has(rule.id) &&
        rule.match.who.every((test) => test.holds(subject)) &&
        !isExempt(rule),
    );
    return [...(subject.default === 'allow' ? ['default'] : []), ...granting.map(({ id }) => id)];
  }

  /** What a session of this subject begins with, and cannot change. */
  pinsFor(subject: Subject): SessionPins {
    return pinsFor(this.#session, subject);
  }

  /** @param moment `null` where it is not known, as when a statement is prepared */
  decide(facts: DecidableFacts, subject: Subject, moment: Moment | null = null): Verdict {
    const { effects } = facts;
    const matched: string[] = [];
    const shadowStricter: string[] = [];
    const shadowAllow: string[] = [];
    const limits: Limit[] = [];
    let recordResults: ResultLimits | null = null;
    const approvals: Approval[] = [];
    let stable = true;
    let needsEstimate = false;
    let shadowDenies = false;
    let refusing: CompiledRule | null = null;
    let refused: Effect | null = null;
    /** Of several that refuse, one says most that is about what was seen; least, one that is about what could not be. */
    let refusedTells = -1;
    let holding: CompiledRule | null = null;
    let held: Effect | null = null;
    const needsCover = subject.default !== 'allow';
    const covered = new Set<Effect>();
    const coveredWithShadow = new Set<Effect>();
    for (const rule of this.rules) {
      const about = aboutEffects(rule, facts, subject);
      if (about.length === 0) continue;
      if (stable && isVolatile(rule)) stable = false;
      needsEstimate ||= rule.expression?.needsEstimate === true;
      const hits = matchedEffects(rule, about, facts, subject, moment);
      const first = hits[0];
      if (first === undefined) continue;
      if (rule.recordResults !== null && !rule.shadow) recordResults = together(recordResults, rule.recordResults);
      if (rule.limits.length > 0) {
        limits.push(...rule.limits);
        if (!rule.shadow) matched.push(rule.id);
        continue;
      }
      if (rule.action === 'allow') {
        if (needsCover) {
          for (const effect of hits) {
            coveredWithShadow.add(effect);
            if (!rule.shadow) covered.add(effect);
          }
        }
        (rule.shadow ? shadowAllow : matched).push(rule.id);
      } else if (rule.shadow) {
        shadowStricter.push(rule.id);
        shadowDenies ||= rule.action === 'deny';
      } else {
        matched.push(rule.id);
        if (rule.action === 'hold') approvals.push(rule.approval!);
        if (rule.action === 'hold' && holding === null) {
          holding = rule;
          held = first;
        } else if (rule.action === 'deny') {
          const telling = hits.find(({ effect }) => effect !== 'opaque') ?? first;
          const tells = telling.effect !== 'opaque' ? 2 : rule.match.what.some(({ key }) => key === 'effects') ? 1 : 0;
          if (tells > refusedTells) [refusing, refused, refusedTells] = [rule, telling, tells];
        }
      }
    }
    const { masks, shadowMasks, isVolatile: masksAreVolatile } = this.#masksOf(facts, subject, moment);
    shadowStricter.push(...shadowMasks);
    const outcome = {
      rules: matched,
      stable: stable && !masksAreVolatile,
      ...(needsEstimate && { needsEstimate }),
      limits,
      masks,
      ...(recordResults !== null && { recordResults }),
    };
    if (this.#isShadow) {
      const isUncovered = needsCover && effects.some((effect) => !coveredWithShadow.has(effect));
      if (isUncovered) shadowStricter.push('default');
      return { ...outcome, action: 'allow', shadow: shadowStricter.sort() };
    }
    if (refusing !== null && refused !== null) {
      const words = refusalOf(refused, refusing.id, wordsOf(refusing));
      return { ...outcome, action: 'deny', shadow: [], rule: refusing.id, ...words, retry: 'never' };
    }
    const uncovered = needsCover ? effects.find((effect) => !covered.has(effect)) : undefined;
    const wouldBeCovered = uncovered !== undefined && effects.every((effect) => coveredWithShadow.has(effect));
    if (uncovered !== undefined && subject.default === 'deny') {
      const shadow = wouldBeCovered && !shadowDenies ? [...shadowAllow, ...shadowStricter].sort() : [];
      const words = refusalOf(uncovered, 'default', {});
      return { ...outcome, action: 'deny', shadow, rule: 'default', ...words, retry: 'never' };
    }
    if (uncovered !== undefined) approvals.push(DEFAULT_APPROVAL);
    if (approvals.length > 0) {
      const words = heldBecause(held ?? uncovered!, holding?.id ?? 'default', holding ?? {});
      return {
        ...outcome,
        action: 'hold',
        shadow: wouldBeCovered ? [...shadowAllow, ...shadowStricter].sort() : shadowStricter,
        rule: holding?.id ?? 'default',
        ...words,
        retry: 'after_approval',
        approvals,
      };
    }
    return { ...outcome, action: 'allow', shadow: shadowStricter };
  }

  /** What happens to the result of a statement, were it allowed. */
  #masksOf(
    facts: DecidableFacts,
    subject: Subject,
    moment: Moment | null,
  ): { readonly masks: MaskPlan | null; readonly shadowMasks: readonly string[]; readonly isVolatile: boolean } {
    if (this.masks.length === 0 && this.detectors.length === 0) return NO_MASKS;
    const applies = (one: CompiledMask | CompiledDetector) => one.appliesTo(subject, moment);
    const masks = this.masks.filter(applies);
    const detectors = this.detectors.filter(applies);
    const shadowed = planOf(
      facts,
      masks.filter(({ shadow }) => shadow),
      detectors.filter(({ shadow }) => shadow),
    );
    return {
      masks: planOf(
        facts,
        masks.filter(({ shadow }) => !shadow),
        detectors.filter(({ shadow }) => !shadow),
      ),
      shadowMasks: shadowed?.ids ?? [],
      isVolatile: [...this.masks, ...this.detectors].some((one) => one.isVolatileFor(subject)),
    };
  }

  /**
   * True if the server's messages about the statement may quote values that are masked for this subject: constraint
   * violations, failed casts and notices do. It does whatever touches, or may touch, a relation with such a column.
   *
   * @param subject `null` for anybody
   */
  mayQuoteMasked({ effects }: DecidableFacts, subject: Subject | null): boolean {
    return this.masks.some(
      (mask) =>
        !mask.shadow &&
        (subject === null || mask.appliesTo(subject, null)) &&
        effects.some((effect) => mask.columns.some(({ pattern }) => isTable(pattern.table, effect, true))),
    );
  }

  /** True if a detector that is for the subject, for any column, finds something in the bytes. */
  detects(subject: Subject, bytes: Buffer, from: number, to: number): boolean {
    return this.detectors.some(
      (one) => !one.shadow && one.appliesTo(subject, null) && one.detector.finds(bytes, from, to),
    );
  }

  /** The verdict, and of every rule whether it matched and if not, the first key that failed. */
  explain(facts: DecidableFacts, subject: Subject, moment: Moment | null = null): Explanation {
    return {
      verdict: this.decide(facts, subject, moment),
      rules: this.rules.map((rule) => explainRule(rule, facts, subject, moment)),
    };
  }
}

function wordsOf({ message, hint, match }: CompiledRule) {
  return { message, hint, isAboutPredicate: match.what.some(({ key }) => key === 'predicate') };
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** What two rules want of a result: all that one of them does. */
function together(a: ResultLimits | null, b: ResultLimits): ResultLimits {
  return a === null ? b : { rows: Math.max(a.rows, b.rows), bytes: Math.max(a.bytes, b.bytes) };
}
