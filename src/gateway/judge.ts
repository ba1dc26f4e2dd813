import type { ConnectionConfig } from '../config/config.ts';
import type { Redaction } from '../config/redaction.ts';
import type { Identity } from '../identity/identity.ts';
import type { Moment, RuleSet, Subject } from '../policy/decide.ts';
import type { Verdict } from '../policy/verdict.ts';
import { RepeatedText } from '../recording/line-writer.ts';
import type { NameContext } from '../statements/catalogue.ts';
import { type Effect, type LexingState, opaqueText, type StatementFacts, type TextFacts } from '../statements/facts.ts';
import { type LiteralInText, withoutLiterals } from '../statements/literals.ts';
import { literalsInText as literalsInMysqlText } from '../statements/mysql/literals-in-text.ts';
import type { MysqlModes } from '../statements/mysql/server.ts';
import type { OwnStatement } from '../statements/own-statement.ts';
import { literalsInText as literalsInPostgresText } from '../statements/postgres/literals-in-text.ts';
import { type Claims, claimsInComment, keptOf } from './claims.ts';
import { JudgementRoom, type Keeper } from './judgement-room.ts';

/** How a session's text is read, in the terms of its dialect. States that are the same are one object. */
export type Lexing = LexingState | MysqlModes;

/** What the facts of a text depend on besides the text. */
export interface Reading {
  readonly lexing: Lexing;
  readonly names: NameContext;
}

/** One statement of a text with its verdict, and what a record says of both. */
export interface JudgedStatement {
  readonly text: string;
  readonly facts: StatementFacts;
  /** How the text was read; `null` if the facts are not from the text. */
  readonly reading: Reading | null;
  readonly verdict: Verdict;
  /** True if what the server says about it may quote masked values. */
  readonly withholdsMessages: boolean;
  /** True if any literal and any value of it can be a secret: the record has none, as far as it leaves out secrets. */
  readonly hidesValues: boolean;
  /** What comments in its text claim, for the record; `null` where they claim nothing. */
  readonly claimed: Claims | null;
  /** The record's fields `text` to `rules`, as JSON text. */
  readonly record: RepeatedText;
}

interface Decided {
  readonly withholdsMessages: boolean;
  readonly hidesValues: boolean;
  readonly kind: string;
  readonly fingerprint: string;
  readonly verdict: Verdict;
  readonly record: string;
}

/** All statements of one text, judged under one set of rules. */
export interface Judgement {
  readonly text: string;
  readonly reading: Reading | null;
  /** What comments in the text claim of its statements; `null` where they claim nothing. */
  readonly claimed: Claims | null;
  /** True if the statement is the one that the text, a PREPARE or DECLARE, makes ready. */
  readonly isPrepared: boolean;
  readonly statements: readonly JudgedStatement[];
  /** The rules it was judged under; under other rules it has to be judged again. */
  readonly rules: RuleSet;
  /** True if every statement is allowed whatever its values and the moment, and no budget counts it. */
  readonly passes: boolean;
  /** True if a statement changes the names of prepared statements or runs one by name: only the session can judge it. */
  readonly usesNames: boolean;
  /** True if a statement may make, replace or drop portals: SQL cursors share their names with the protocol's portals. */
  readonly changesPortals: boolean;
  /** True if a statement may change how later text is read. */
  readonly changesLexing: boolean;
  /** What it asks of Sluice itself: then it never reaches the server. */
  readonly asks: Asked | null;
  /** Relations and functions it names that the catalogue does not have. */
  readonly unknownNames: readonly string[];
}

/** A question to Sluice; `null` for one that cannot be answered, since it has to be alone, and in the form that is told. */
type Asked = { readonly question: OwnStatement | null };

/** Reads text of one dialect; see `statements/`. */
export interface Analyzer {
  analyze(text: string, lexing: Lexing, names: NameContext): TextFacts | Promise<TextFacts>;
}

/** The rules in force: what is put in its place is seen by everybody who holds this. */
export interface RulesInForce {
  readonly current: RuleSet;
}

/**
 * Characters of a text that are searched for what may not be recorded. Of a longer one only these are recorded then: to search all
 * of it would keep the event loop.
 */
const MOST_SEARCHED = 256 * 1024;

/**
 * Judges text for one identity on one connection, under the rules in force. Shared by the sessions of that identity,
 * so that a text seen before costs one look-up.
 */
export class Judge implements Keeper {
  /** What records leave out. */
  readonly redact: Redaction;
  readonly #analyzer: Analyzer;
  readonly #identity: Identity;
  readonly #connection: ConnectionConfig;
  readonly #noteMiss: (name: string) => void;
  readonly #inForce: RulesInForce;
  readonly #room: JudgementRoom;
  /** What is kept was judged under these rules. */
  #keptRules: RuleSet;
  #texts = new WeakMap<NameContext, Map<Lexing, Map<string, Judgement>>>();
  /** Facts of texts that differ in literals share their effects: so they share the verdict. */
  #byEffects = new WeakMap<readonly Effect[], Decided>();

  /**
   * @param noteMiss is told the names in a text that the catalogue does not have, each time the text comes
   * @param room for what is kept, shared by all judges
   */
  constructor(
    analyzer: Analyzer,
    identity: Identity,
    connection: ConnectionConfig,
    inForce: RulesInForce,
    noteMiss: (name: string) => void = () => {},
    room = new JudgementRoom(),
    redact: Redaction = 'secrets',
  ) {
    this.redact = redact;
    this.#room = room;
    this.#noteMiss = noteMiss;
    this.#analyzer = analyzer;
    this.#identity = identity;
    this.#connection = connection;
    this.#inForce = inForce;
    this.#keptRules = inForce.current;
  }

  /** Of the rules in force. */
  get rulesVersion(): string {
    return this.#inForce.current.version;
  }

  /** The rules in force. What was judged under others is forgotten: so this comes before any look at what is kept. */
  #rulesInForce(): RuleSet {
    const { current } = this.#inForce;
    if (current !== this.#keptRules) {
      this.#keptRules = current;
      this.#byEffects = new WeakMap();
      this.#room.left(this);
      this.forget();
    }
    return current;
  }

  /** The judgement of a text, at once if it can be had at once. */
  judge(text: string, reading: Reading): Judgement | Promise<Judgement> {
    const { lexing, names } = reading;
    this.#rulesInForce();
    const known = this.#textsOf(reading).get(text);
    if (known !== undefined) return this.#noting(known);
    const facts = this.#analyzer.analyze(text, lexing, names);
    if (facts instanceof Promise) return facts.then((f) => this.#noting(this.judgeFacts(text, f, reading)));
    const judgement = this.#noting(this.judgeFacts(text, facts, reading));
    if (this.#room.admit(this, text.length)) this.#textsOf(reading).set(text, judgement);
    return judgement;
  }

  #noting(judgement: Judgement): Judgement {
    for (const name of judgement.unknownNames) this.#noteMiss(name);
    return judgement;
  }

  #textsOf({ lexing, names }: Reading): Map<string, Judgement> {
    let byLexing = this.#texts.get(names);
    if (byLexing === undefined) {
      byLexing = new Map();
      this.#texts.set(names, byLexing);
    }
    let byText = byLexing.get(lexing);
    if (byText === undefined) {
      byText = new Map();
      byLexing.set(lexing, byText);
    }
    return byText;
  }

  /** The judgement of what was judged before, under the rules and with the names in force now. */
  again(judgement: Judgement, names: NameContext): Judgement | Promise<Judgement> {
    const { text, reading } = judgement;
    if (reading !== null && reading.names !== names) {
      const now = { lexing: reading.lexing, names };
      if (!judgement.isPrepared) return this.judge(text, now);
      const facts = this.#analyzer.analyze(text, now.lexing, names);
      if (facts instanceof Promise) return facts.then((f) => this.#judgePrepared(text, f, now));
      return this.#judgePrepared(text, facts, now);
    }
    if (judgement.rules === this.#rulesInForce()) return judgement;
    const facts = { statements: judgement.statements.map((s) => s.facts) };
    return { ...this.judgeFacts(text, facts, reading), isPrepared: judgement.isPrepared };
  }

  /** The judgement of the statement that a PREPARE or DECLARE makes ready. */
  judgePrepared(prepare: JudgedStatement): Judgement {
    return this.#judgePrepared(prepare.text, { statements: [prepare.facts] }, prepare.reading);
  }

  #judgePrepared(text: string, facts: TextFacts, reading: Reading | null): Judgement {
    const change = facts.statements[0]?.nameChange;
    const inner =
      change?.op === 'prepare' || change?.op === 'declare'
        ? { statements: [{ ...change.inner, start: 0, end: text.length }] }
        : opaqueText(text.length, 'a PREPARE that reads differently now');
    return { ...this.judgeFacts(text, inner, reading), isPrepared: true };
  }

  /** @param reading how the text was read; `null` if the facts are not from the text */
  judgeFacts(text: string, facts: TextFacts, reading: Reading | null): Judgement {
    const statements: JudgedStatement[] = [];
    const claimed = claimsInComment(text);
    let usesNames = false;
    let changesPortals = false;
    let changesLexing = false;
    let needsText = false;
    for (const f of facts.statements) {
      statements.push(this.judgeStatement(text.slice(f.start, f.end), f, reading, claimed));
      usesNames ||= f.nameChange !== null || f.executes.length > 0 || f.fetches !== undefined;
      changesPortals ||= mayChangePortals(f);
      changesLexing ||= f.changesLexing;
      needsText ||= f.textParameters !== undefined;
    }
    const asks = askedIn(facts);
    return {
      text,
      reading,
      claimed,
      isPrepared: false,
      statements,
      rules: this.#rulesInForce(),
      passes:
        !usesNames &&
        !needsText &&
        asks === null &&
        statements.every((s) => isStable(s) && !isRefused(s) && s.verdict.limits.length === 0),
      usesNames,
      changesPortals,
      changesLexing,
      asks,
      unknownNames: reading === null ? [] : unknownNames(facts, reading.names),
    };
  }

  judgeStatement(
    text: string,
    facts: StatementFacts,
    reading: Reading | null,
    claimed: Claims | null,
  ): JudgedStatement {
    const { effects } = facts;
    this.#rulesInForce();
    let decided = this.#byEffects.get(effects);
    if (decided === undefined || decided.kind !== facts.kind || decided.fingerprint !== facts.fingerprint) {
      decided = this.#decide(facts, null);
      this.#byEffects.set(effects, decided);
    }
    const { verdict, withholdsMessages, hidesValues } = decided;
    const record = new RepeatedText(this.#recordWithText(text, reading, facts, decided));
    return { text, facts, reading, verdict, withholdsMessages, hidesValues, claimed, record };
  }

  /** The statement as it is judged at one execution. */
  atMoment(statement: JudgedStatement, moment: Moment): JudgedStatement {
    if (statement.verdict.stable) return statement;
    const { text, facts, reading, claimed } = statement;
    const decided = this.#decide(facts, moment);
    const { verdict, withholdsMessages, hidesValues } = decided;
    const record = new RepeatedText(this.#recordWithText(text, reading, facts, decided));
    return { text, facts, reading, verdict, withholdsMessages, hidesValues, claimed, record };
  }

  #decide(facts: StatementFacts, moment: Moment | null): Decided {
    const subject = this.#subject();
    const rules = this.#rulesInForce();
    const verdict = rules.decide(facts, subject, moment);
    const withholdsMessages = rules.mayQuoteMasked(facts, subject);
    return {
      kind: facts.kind,
      fingerprint: facts.fingerprint,
      verdict,
      withholdsMessages,
      hidesValues: hidesAll(facts, withholdsMessages),
      record: recordOf(facts, verdict, rules.version, this.redact),
    };
  }

  /** True if a detector for this identity finds something in what is not the result of any statement. */
  detects(bytes: Buffer, from: number, to: number): boolean {
    return this.#rulesInForce().detects(this.#subject(), bytes, from, to);
  }

  /** What a client says of itself, without what a detector for this identity finds in it. */
  kept(said: Claims): Claims {
    if (this.redact === 'none') return said;
    return keptOf(said, (value) => {
      const bytes = Buffer.from(value);
      return this.detects(bytes, 0, bytes.length);
    });
  }

  /**
   * Not for the record are values of masked columns, what detectors find, passwords, and any literal of a text that could not
   * be read.
   */
  #recordWithText(
    text: string,
    reading: Reading | null,
    facts: StatementFacts,
    { verdict: { masks }, hidesValues, record }: Decided,
  ): string {
    const all = this.redact === 'all-literals' || hidesValues;
    if (this.redact === 'none' || (masks === null && !all)) {
      return `"text":${facts.json ?? JSON.stringify(text)},${record}`;
    }
    const isCut = text.length > MOST_SEARCHED;
    const begin = isCut ? text.slice(0, MOST_SEARCHED) : text;
    const literals = this.literalsIn(begin, reading);
    const hidden = all
      ? literals
      : literals.filter(
          ({ value, end }, index) =>
            (masks!.touchesMasked && !masks!.showsLiteral(index)) ||
            masks!.finds(value) ||
            // It may go on.
            (isCut && end === begin.length),
        );
    let shown = withoutLiterals(begin, hidden);
    // Also in a comment, or in several literals together.
    if (masks?.finds(shown) === true) shown = withoutLiterals(begin, literals);
    if (masks?.finds(shown) === true) shown = withoutComments(shown);
    if (masks?.finds(shown) === true) shown = '?';
    return `"text":${JSON.stringify(shown)},${isCut ? `"textLength":${text.length},` : ''}${record}`;
  }

  /** The literals of a text, as it was read. */
  literalsIn(text: string, reading: Reading | null): readonly LiteralInText[] {
    if (this.#connection.protocol === 'postgres') return literalsInPostgresText(text);
    return literalsInMysqlText(text, (reading?.lexing as MysqlModes | undefined) ?? null);
  }

  #subject(): Subject {
    const { name: connection, protocol, default: otherwise } = this.#connection;
    return { identity: this.#identity, connection, protocol, default: otherwise };
  }

  /** Forgets what it keeps: every text is judged anew. */
  forget(): void {
    this.#texts = new WeakMap();
  }
}

function askedIn({ statements }: TextFacts): Asked | null {
  const question = statements.find(({ asks }) => asks !== undefined)?.asks;
  if (question === undefined) return null;
  return {
    question: statements.length > 1 || (question.asks === 'verdict' && question.from === null) ? null : question,
  };
}

const NO_MISSES: readonly string[] = [];
/** Schemas that no catalogue has, and what a statement makes is not there yet. */
const SYSTEM_SCHEMAS = new Set(['pg_catalog', 'information_schema', 'pg_temp', 'mysql', 'performance_schema', 'sys']);
const MAKES: ReadonlySet<Effect['effect']> = new Set(['create', 'drop']);

function unknownNames({ statements }: TextFacts, { catalogue }: NameContext): readonly string[] {
  if (catalogue === null) return NO_MISSES;
  let found: string[] | null = null;
  for (const { effects } of statements) {
    for (const { effect, object } of effects) {
      if (object === null || MAKES.has(effect) || SYSTEM_SCHEMAS.has(object.schema ?? '')) continue;
      const isUnknown =
        object.kind === 'relation'
          ? object.catalogued !== true && !(object.schema === null && object.name.startsWith('pg_'))
          : effect === 'opaque' &&
            object.kind === 'function' &&
            catalogue.functionsNamed(object.schema, object.name).length === 0;
      if (!isUnknown) continue;
      found ??= [];
      found.push(`${object.schema ?? ''}.${object.name}`);
    }
  }
  return found ?? NO_MISSES;
}

/** True if no value and no moment can change the verdict. */
export function isStable({ verdict }: JudgedStatement): boolean {
  return verdict.stable;
}

export function isRefused({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses !== null || verdict.action !== 'allow';
}

/** True if it waits for people: it is not refused, and may run once they have approved it. */
export function isHeld({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses === null && verdict.action === 'hold';
}

/** True if nobody can make it pass. */
export function isDenied({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses !== null || verdict.action === 'deny';
}

/** A held statement once it has been approved: what its rules limit and mask, they limit and mask. */
export function approved(statement: JudgedStatement): JudgedStatement {
  if (!isHeld(statement)) return statement;
  const { rules, shadow, stable, limits, masks, recordResults } = statement.verdict;
  const results = recordResults === undefined ? {} : { recordResults };
  return { ...statement, verdict: { action: 'allow', rules, shadow, stable, limits, masks, ...results } };
}

/** True if no values and no moment can make the statement pass: then it need not reach the server to be parsed. */
export function isRefusedAlways({ verdict, facts }: JudgedStatement): boolean {
  return facts.refuses !== null || (verdict.action === 'deny' && verdict.stable);
}

function mayChangePortals(facts: StatementFacts): boolean {
  if (facts.executes.length > 0) return true;
  return facts.kind !== 'FETCH' && facts.effects.some(({ effect }) => effect === 'cursor' || effect === 'opaque');
}

function recordOf(facts: StatementFacts, verdict: Verdict, rulesVersion: string, redact: Redaction): string {
  const describe = redact === 'none' ? describeEffect : (effect: Effect) => withoutQuotes(describeEffect(effect));
  const shadow = verdict.shadow.length > 0 ? `,"shadow":${JSON.stringify(verdict.shadow)}` : '';
  return (
    `"fingerprint":"${facts.fingerprint}","kind":${JSON.stringify(facts.kind)},` +
    `"effects":${JSON.stringify(facts.effects.map(describe))},` +
    `"verdict":"${verdict.action}","rules":${JSON.stringify(verdict.rules)},"rulesVersion":"${rulesVersion}"${shadow}${masksOf(verdict)}`
  );
}

/** The masks, and the positions of the columns they are for, from 1. */
function masksOf({ action, masks }: Verdict): string {
  if (action === 'deny' || masks === null || masks.ids.length === 0) return '';
  const columns = (masks.columns ?? []).flatMap((column, index) =>
    column !== null && (column.mask !== null || column.paths.length > 0) ? [index + 1] : [],
  );
  return `,"masks":${JSON.stringify(masks.ids)},"masked":${JSON.stringify(columns)}`;
}

/**
 * True if literals can be passwords, of roles or of other servers, or anything.
 * @param mayTouchMasked true if it may read or write masked columns: what nobody could read may do so with any value
 */
function hidesAll({ kind, effects, asks }: StatementFacts, mayTouchMasked: boolean): boolean {
  if (kind === 'OPAQUE' || asks?.asks === 'verdict') return true;
  return effects.some(
    ({ effect }) => effect === 'role' || effect === 'network' || (mayTouchMasked && effect === 'opaque'),
  );
}

/** The text, which has no literals any more, without its comments. Of one within another a part may be left. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?(?:\*\/|$)|(?:--|#)[^\n]*/g, '/*?*/');
}

/** What a parser says of a text that it cannot read quotes it. */
function withoutQuotes(effect: string): string {
  return effect.startsWith('opaque: unparsed: ') ? effect.replace(/(?: at or near)? ?["'`][\s\S]*$/, '') : effect;
}

/** One effect in words: `delete public.orders (none)`, `opaque: anonymous code`. */
export function describeEffect(effect: Effect): string {
  if (effect.effect === 'opaque') return `opaque: ${effect.via ?? 'unknown'}`;
  const object =
    effect.object === null
      ? ''
      : ` ${effect.object.schema === null ? '' : `${effect.object.schema}.`}${effect.object.name}`;
  return `${effect.effect}${object}${effect.predicate === null ? '' : ` (${effect.predicate})`}`;
}
