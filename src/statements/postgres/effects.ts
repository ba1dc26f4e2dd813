import type { CatalogueFunction, CatalogueName } from '../catalogue.ts';
import type {
  ClaimChange,
  ColumnName,
  ColumnUse,
  CopyFormat,
  Effect,
  EffectName,
  Lineage,
  NameChange,
  ObjectName,
  OutputColumn,
  Predicate,
  StatementFacts,
} from '../facts.ts';
import { factsOfOwn, type OwnStatement } from '../own-statement.ts';
import { MOST_EFFECTS, MOST_LINEAGE, TooComplex, type WorkBudget } from '../work-budget.ts';
import { deleteFrom, insert, merge, update } from './changes.ts';
import { type CodeReading, functionCode } from './code.ts';
import { isSafeEncoding } from './encodings.ts';
import { exposes } from './exposes.ts';
import { evaluate, typedValue } from './expressions.ts';
import { fingerprint } from './fingerprint.ts';
import { statementKind } from './kinds.ts';
import { computedFrom, NONE } from './lineage.ts';
import type { Names } from './names.ts';
import { FIXED_TYPES, NODE_DECISIONS } from './nodes.ts';
import { ownShow } from './own-statements.ts';
import type { TreeNode } from './parser.ts';
import { type CommonTable, outputsOf, select } from './queries.ts';
import { type Scope, Shape, Source } from './scope.ts';
import { isEmpty, isWrapped, literal, nameParts, nodesIn, only, text } from './tree.ts';
import { mayBeCast } from './types.ts';
import { readsThrough, shapeOf } from './views.ts';
import { truncatesReferencing, written } from './written.ts';

/**
 * From the syntax tree of one statement to its effects.
 *
 * One walk over the whole tree: every node type has a decision (nodes.ts), so an effect counts wherever it hides. What
 * the walk does not know becomes an `opaque` effect, never silence. Queries are read by queries.ts and changes.ts, which
 * know what names mean; everything else is here.
 */

/** The facts of one statement, and whether a literal of the text decided any of them. */
export interface AnalysedStatement {
  readonly facts: StatementFacts;
  /** What its literals and parameters meet, by their places in the text, in bytes. */
  readonly met: ReadonlyMap<number, readonly ColumnName[]>;
  /** False if other literals in the same places could have given other facts. */
  readonly literalsAreFree: boolean;
}

/**
 * Analyses the tree of one statement (`RawStmt.stmt`). `start` and `end` are passed through.
 *
 * @throws {TooComplex} if reading it takes more steps than are left
 */
export function analyseStatement(
  statement: TreeNode,
  start: number,
  end: number,
  names: Names,
  budget: WorkBudget,
): AnalysedStatement {
  const walk = new EffectWalk(names, budget);
  const found = walk.statement(statement);
  if (walk.asks !== null) {
    return { facts: { ...factsOfOwn(walk.asks), start, end }, met: walk.met, literalsAreFree: false };
  }
  return {
    facts: {
      kind: statementKind(statement),
      ...found,
      nameChange: walk.declares === null ? walk.nameChange : declared(walk.declares, statement, found),
      fingerprint: fingerprint(statement),
      start,
      end,
    },
    met: walk.met,
    literalsAreFree: walk.literalsAreFree,
  };
}

/** What a FETCH from the cursor reads is what the DECLARE says of its query. */
function declared(name: string, statement: TreeNode, found: Found): NameChange {
  const kind = statementKind(statement);
  const inner = { kind, ...found, nameChange: null, fingerprint: fingerprint(statement), start: 0, end: 0 };
  return { op: 'declare', name, inner };
}

/** What surrounds a node. */
export interface Place {
  /** The names WITH has given. */
  readonly ctes: CteScope | null;
  /** What columns can be named; `null` outside of queries. */
  readonly scope: Scope | null;
  /** The construct it hides in. */
  readonly via: string | null;
  /** Set for the query of a WITH RECURSIVE name: its set operation feeds on itself. */
  readonly recursion: { readonly table: CommonTable; readonly names: readonly string[] } | null;
}

export interface CteScope {
  readonly names: ReadonlyMap<string, CommonTable>;
  readonly outer: CteScope | null;
}

const TOP: Place = { ctes: null, scope: null, via: null, recursion: null };

/** Settings that move the borders of strings or characters in later text. */
const LEXING_SETTINGS = new Set(['client_encoding', 'standard_conforming_strings', 'backslash_quote']);

/** Settings by which a client says something about itself; they change nothing at the server. */
const CLAIMS = 'sluice.';

const ROLE_SETTINGS = new Set(['role', 'session_authorization']);

type Handler = (walk: EffectWalk, body: TreeNode, place: Place, type: string) => void;

/** What the facts of a statement hold besides its name, its place and its hash. */
type Found = Pick<
  StatementFacts,
  'effects' | 'executes' | 'fetches' | 'copyOut' | 'changesLexing' | 'refuses' | 'outputs' | 'uses' | 'claims'
>;

export class EffectWalk {
  readonly names: Names;
  readonly top = TOP;
  readonly executes: string[] = [];
  nameChange: NameChange | null = null;
  /** The cursor that a DECLARE makes. */
  declares: string | null = null;
  fetches: string | null = null;
  /** What the statement asks of Sluice; then nothing else of it matters. */
  asks: OwnStatement | null = null;
  readonly claims: ClaimChange[] = [];
  copyOut: CopyFormat | null = null;
  changesLexing = false;
  refuses: string | null = null;
  literalsAreFree = true;
  /** The columns of the result; `null` if they cannot be told. */
  outputs: readonly OutputColumn[] | null = [];
  /** True in bodies of functions, where a name can be a variable. */
  hasVariables = false;
  /** True while the function of a cast is looked at. */
  isCasting = false;
  /** Where relations that are named are noted, while a condition is read. */
  mentions: Set<Source> | null = null;
  /** What the results of functions are computed from that the server may call when it plans. */
  readonly folded: Lineage[] = [];
  /** What literals and parameters meet, by their places in the text, in bytes. */
  readonly met = new Map<number, readonly ColumnName[]>();
  /** True if a rule adds rows of its own to the result, or puts others in their place. */
  hasRowsOfRules = false;
  /** Decimal logarithm of the rows of the query that was read last. */
  magnitude = 0;
  /** How many things have been read that can fail by the values they are given. */
  canFail = 0;
  #effects = new Map<string, Effect>();
  #uses: Map<string, ColumnUse> | null = new Map();
  #done = new Set<string>();
  readonly #budget: WorkBudget;

  constructor(names: Names, budget: WorkBudget) {
    this.names = names;
    this.#budget = budget;
  }

  /** Reads a whole statement. */
  statement(statement: TreeNode): Found {
    const [type, body] = only(statement);
    if (QUERIES[type] !== undefined) this.outputs = outputsOf(QUERIES[type](this, body, TOP)) ?? null;
    else this.node(statement, TOP);
    return this.found();
  }

  found(): Found {
    return {
      effects: this.effects(),
      executes: this.executes,
      ...(this.fetches === null ? {} : { fetches: this.fetches }),
      ...(this.copyOut === null ? {} : { copyOut: this.copyOut }),
      ...(this.claims.length === 0 ? {} : { claims: this.claims }),
      changesLexing: this.changesLexing,
      refuses: this.refuses,
      ...(this.outputs === null || this.hasRowsOfRules || !canBeHeld(this.outputs) ? {} : { outputs: this.outputs }),
      ...(this.#uses === null || this.#uses.size > MOST_LINEAGE ? {} : { uses: [...this.#uses.values()] }),
    };
  }

  /** `null` if they cannot be told. */
  uses(): readonly ColumnUse[] | null {
    return this.#uses === null ? null : [...this.#uses.values()];
  }

  effects(): Effect[] {
    return [...this.#effects.values()];
  }

  /** For text the catalogue holds: what it does is read apart from what the statement does. */
  another(names: Names): EffectWalk {
    return new EffectWalk(names, this.#budget);
  }

  /** @throws {TooComplex} */
  step(steps = 1): void {
    this.#budget.spend(steps);
  }

  /** True the first time it is asked with a key. */
  firstTime(key: string): boolean {
    if (this.#done.has(key)) return false;
    this.#done.add(key);
    return true;
  }

  add(effect: EffectName, object: ObjectName | null, place: Place, predicate: Predicate | null = null): void {
    this.addVia(effect, object, place.via, predicate);
  }

  addVia(effect: EffectName, object: ObjectName | null, via: string | null, predicate: Predicate | null = null): void {
    this.addEffect({ effect, object, predicate, via });
  }

  /** Adds an effect; one that differs from another in its columns only is one with the columns of both. */
  addEffect(given: Effect): void {
    const added = { ...given, object: this.#resolved(given) };
    const { effect, object, predicate, via, value } = added;
    const name = object === null ? '' : `${object.kind}\0${object.schema ?? '\0'}\0${object.name}`;
    const key = `${effect}\0${predicate}\0${via}\0${name}\0${value ?? ''}`;
    const known = this.#effects.get(key);
    if (known === undefined) {
      if (this.#effects.size >= MOST_EFFECTS) throw new TooComplex('too many effects');
      this.#effects.set(key, added);
    } else if (known.columns !== undefined) {
      const { columns, ...rest } = known;
      const both = added.columns === undefined ? null : [...new Set([...columns, ...added.columns])];
      this.#effects.set(key, both === null ? rest : { ...rest, columns: both });
    }
  }

  /** The object by the name the server finds it by. A new relation is not there yet: it goes to the first schema searched. */
  #resolved({ effect, object, via }: Effect): ObjectName | null {
    if (object?.kind !== 'relation' || object.schema !== null) return object;
    if (effect === 'create' && !MADE_ON_A_RELATION.has(via ?? '')) {
      return { ...object, schema: this.names.searchPath[0] ?? null };
    }
    return this.names.relation({ relname: object.name }).object;
  }

  /** Adds the effects of code that this statement sets off. @param by what rules can name instead of code they cannot read */
  takesCode(effects: readonly Effect[], via: string, by: ObjectName | null = null): void {
    for (const one of effects) {
      const isNamed = one.effect === 'opaque' || one.effect === 'resource';
      this.addEffect(isNamed ? { ...one, object: one.object ?? by } : { ...one, via });
    }
    if (effects.some((one) => one.effect === 'opaque')) this.changesLexing = true;
  }

  opaque(why: string, object: ObjectName | null = null): void {
    this.addVia('opaque', object, why);
    this.changesLexing = true;
  }

  /** What is run costs more than the text shows. */
  resource(why: string, _place: Place, object: ObjectName | null = null): void {
    this.addVia('resource', object, why);
  }

  /** Notes that stored columns are used other than for output. */
  use(lineage: Lineage, use: ColumnUse['use'], joinedWith?: readonly ColumnName[]): void {
    if (lineage.from === 'unknown') this.#uses = null;
    if (this.#uses === null) return;
    this.step(lineage.columns.length);
    for (const column of lineage.columns) {
      const [other] = joinedWith ?? [];
      const key = `${use}\0${column.schema}\0${column.relation}\0${column.column}\0${other?.schema}\0${other?.relation}\0${other?.column}`;
      if (this.#uses.has(key)) continue;
      this.#uses.set(key, joinedWith === undefined ? { ...column, use } : { ...column, use, with: joinedWith });
    }
  }

  /** Notes that two values are compared by `=`. */
  joins(one: Lineage, other: Lineage): void {
    if (one.from === 'plain' && other.from === 'plain') {
      this.use(one, 'join', other.columns);
      this.use(other, 'join', one.columns);
    } else for (const lineage of [one, other]) this.use(lineage, 'condition');
  }

  /** A literal or parameter is compared with these columns or written to them. @param at its place; absent if it is none */
  meets(at: number | undefined, columns: readonly ColumnName[]): void {
    if (at !== undefined) this.met.set(at, [...(this.met.get(at) ?? []), ...columns]);
  }

  mention(source: Source): void {
    this.mentions?.add(source);
  }

  /** Reads what has rows: a query, or a statement with RETURNING. */
  query(node: unknown, place: Place): Shape {
    const [type, body] = only(node);
    const read = QUERIES[type];
    if (read !== undefined) return read(this, body, place);
    this.node(node, place);
    return new Shape([], { from: 'unknown', columns: [] });
  }

  /** The effect of reading a relation of a query. */
  reads(source: Source, predicate: Predicate, place: Place): void {
    const { object, relation, only: alone, read } = source;
    const also = relation === null ? [] : this.names.also(relation, alone);
    this.addEffect({
      effect: 'read',
      object,
      predicate,
      via: place.via,
      ...(read === null ? {} : { columns: [...read] }),
      ...(also.length === 0 ? {} : { also }),
    });
    readsThrough(this, source);
  }

  /** Rows go somewhere else than to the client. */
  copies({ columns, rest }: Shape): void {
    for (const { lineage } of columns) this.use(lineage, 'copy');
    if (rest !== null) this.use(rest, 'copy');
  }

  merges({ object }: Source, place: Place): void {
    this.add('merge', object, place);
  }

  /**
   * A function of a user runs. One that is written in SQL and only computes has no effect, whatever it is declared to be.
   *
   * @param given what its arguments are computed from
   * @returns what its result is computed from besides its arguments; unknown if it cannot be told
   */
  callsUserFunction(
    called: CatalogueFunction,
    place: Place,
    given: Lineage = NONE,
  ): Pick<CodeReading, 'result' | 'rows'> {
    const { schema, name, volatility } = called;
    for (const type of called.arguments) mayBeCast(this, 'to', type, place);
    mayBeCast(this, 'from', called.returns, place);
    const computes = { result: NONE, rows: null };
    const declared = this.names.known?.functions.get(`${schema}.${name}`);
    if (declared === 'pure' || declared === 'volatile' || this.isOfTrustedExtension(called)) return computes;
    const object: ObjectName = { kind: 'function', schema, name };
    if (declared === 'resource') {
      this.addVia('resource', object, name);
      return computes;
    }
    if (this.names.known === null) {
      this.add('call-function', object, place);
      return { result: UNKNOWN, rows: null };
    }
    const code = functionCode(this, called);
    const isRead = code.effects.every(({ effect, object: on }) => effect !== 'opaque' || on !== null);
    if (code.effects.length > 0 || called.language !== 'sql') {
      this.add('call-function', object, place);
      // What it does with its arguments is its own affair.
      this.use(given, 'copy');
    }
    if (!isRead && volatility === 'immutable') {
      this.folded.push(UNKNOWN);
      return { result: UNKNOWN, rows: null };
    }
    this.takesCode(code.effects, `function ${name}`, object);
    if (code.uses === null) this.#uses = null;
    else for (const used of code.uses) this.use({ from: 'derived', columns: [used] }, used.use);
    const read = isRead ? code : { result: UNKNOWN, rows: null };
    if (volatility === 'immutable' && read.result.from !== 'none') this.folded.push(read.result);
    return read;
  }

  /** Extensions of which it is known that their functions only compute. */
  isOfTrustedExtension({ extension, name, volatility }: CatalogueFunction): boolean {
    const known = extension === null ? undefined : this.names.known?.extensions.get(extension);
    return known !== undefined && (volatility !== 'volatile' || known.has(name));
  }

  /** A function runs that an operator, a cast or a type stands for. @param evenHarmless false if an extension's may pass */
  runsFunction({ schema, name }: CatalogueName, place: Place, evenHarmless = false): void {
    if (schema === 'pg_catalog') {
      if (this.names.known !== null && this.names.known.functions.get(name) === 'other') {
        this.add('call-function', { kind: 'function', schema, name }, place);
      }
      return;
    }
    const found = this.names.catalogue?.functionsNamed(schema, name) ?? [];
    if (found.length === 0) this.opaque(`unknown function ${name}`, { kind: 'function', schema, name });
    for (const one of found) {
      // Types of extensions are made of such functions.
      if (!evenHarmless && one.extension !== null && one.volatility !== 'volatile') continue;
      const { result } = this.callsUserFunction(one, place);
      // An operator or a type shows nothing of what else it reads.
      if (result.from !== 'none') this.use(result, 'copy');
    }
  }

  /** SQL of the catalogue runs: the constraint of a domain. */
  runsText(sql: string, via: string): void {
    const statement = this.parse(sql);
    if (statement === null) {
      this.opaque(`unread ${via}`);
      return;
    }
    const inner = this.another(this.names.withoutPath());
    inner.hasVariables = true;
    inner.node(statement, TOP);
    this.takesCode(inner.effects(), via);
  }

  /** The tree of one statement of the catalogue's; `null` if it cannot be read. */
  parse(sql: string): TreeNode | null {
    this.step(sql.length);
    const parsed = this.names.parser.parse(sql);
    // Far down a stack it has no room. That says nothing of the text.
    if (parsed.outcome === 'failed') throw new TooComplex('parser failed');
    if (parsed.outcome !== 'parsed' || parsed.statements.length !== 1) return null;
    return parsed.statements[0]!.stmt;
  }

  /** True for the call of a function that only the server has, by that name. */
  isBuiltIn(call: TreeNode): boolean {
    const parts = nameParts(call.funcname);
    const name = parts.at(-1) ?? '';
    const schema = parts.length > 1 ? parts.at(-2)! : null;
    const { known } = this.names;
    if (known === null || (schema !== null && schema !== 'pg_catalog')) return false;
    return known.functions.has(name) && this.names.userFunctions(schema, name).length === 0;
  }

  /** True if `=` on a type is what it looks like. */
  equalsAsBuiltIn(type: string | null): boolean {
    if (this.names.catalogue === null || type === null) return true;
    return this.names.catalogue.operatorsNamed('=').every((one) => {
      if (one.left !== type && one.right !== type) return true;
      const found = this.names.catalogue!.functionsNamed(one.function.schema, one.function.name);
      return (
        one.function.schema === 'pg_catalog' || (found.length > 0 && found.every((f) => f.volatility !== 'volatile'))
      );
    });
  }

  /** A node with its type as its only key, or a list of such. */
  node(value: unknown, place: Place): void {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const item of value) this.node(item, place);
      return;
    }
    for (const type in value) this.typed(type, (value as TreeNode)[type] as TreeNode, place);
  }

  /** The fields of a node of a known type. */
  typed(type: string, body: TreeNode | undefined, place: Place): void {
    if (body === undefined) return;
    switch (NODE_DECISIONS.get(type)) {
      case 'handled': {
        const handler = HANDLERS[type];
        if (handler === undefined) this.opaque(`not analysed: ${type}`);
        else handler(this, body, place, type);
        return;
      }
      case 'contains':
        this.inside(type, body, place);
        return;
      case 'inert':
        return;
      default:
        this.opaque(`not analysed: ${type}`);
    }
  }

  /** Everything inside a node, except the fields named. */
  inside(type: string, body: TreeNode, place: Place, except: readonly string[] = []): void {
    for (const field in body) {
      const value = body[field];
      if (typeof value !== 'object' || value === null || except.includes(field)) continue;
      if (Array.isArray(value)) {
        for (const item of value) this.node(item, place);
        continue;
      }
      const fixed = FIXED_TYPES.get(`${type}.${field}`) ?? FIXED_TYPES.get(field);
      // A wrapped node's only key is its type, and types start with a capital; bare fields do not.
      if (isWrapped(value)) this.node(value, place);
      else if (fixed !== undefined) this.typed(fixed, value as TreeNode, place);
      else if (!isEmpty(value)) this.opaque(`not analysed: ${type}.${field}`);
    }
  }

  /** Setting a session setting, whichever way it is written. `value` is null where it is not a literal or is the default. */
  setting(name: string, value: string | null | undefined, place: Place): void {
    const folded = name.toLowerCase();
    if (folded.startsWith(CLAIMS)) {
      this.claims.push({ name: folded.slice(CLAIMS.length), ...(value !== null && { value: value ?? null }) });
      return;
    }
    this.addEffect({
      effect: ROLE_SETTINGS.has(folded) ? 'set-role' : 'set-session',
      object: setting(folded),
      predicate: null,
      via: place.via,
      ...(typeof value === 'string' ? { value } : {}),
    });
    if (!LEXING_SETTINGS.has(folded)) return;
    this.changesLexing = true;
    if (folded !== 'client_encoding' || value === undefined) return;
    if (value === null) this.refuses = 'sets a client_encoding that cannot be read from the statement';
    else if (!isSafeEncoding(value))
      this.refuses = `sets the client_encoding ${value}, in which text cannot be read safely`;
  }

  explain(body: TreeNode, place: Place): void {
    this.add('explain', null, place);
    // Where the text begins with it, and it has no other option, it has been read already.
    if (nodesIn(body.options, 'DefElem').some(({ defname }) => text(defname) === 'sluice')) {
      this.asks = { asks: 'verdict', from: null };
    }
    if (explainExecutes(body.options)) {
      this.node(body.query, { ...place, via: place.via ?? 'explain analyze' });
      this.#showsPlan(this);
      return;
    }
    // Planning does not run the statement, but it reads the relations' statistics and evaluates stable functions.
    const inner = this.another(this.names);
    inner.node(body.query, { ...place, via: place.via ?? 'explain' });
    for (const one of inner.effects()) {
      const { also } = one;
      if (WRITES_EXPLAIN_ONLY_READS.has(one.effect)) {
        const read: Effect = { effect: 'read', object: one.object, predicate: one.predicate ?? 'none', via: one.via };
        this.addEffect(also === undefined ? read : { ...read, also });
      } else if (!NOT_DONE_BY_EXPLAIN.has(one.effect)) this.addEffect(one);
    }
    this.#take(inner);
    this.#showsPlan(inner);
  }

  /** A plan shows constants of the text, and the results of immutable functions in their place. */
  #showsPlan({ folded }: EffectWalk): void {
    this.outputs = [{ name: 'QUERY PLAN', ...computedFrom(folded) }];
  }

  prepare(body: TreeNode, place: Place): void {
    const name = text(body.name);
    const query = body.query as TreeNode;
    this.add('prepare', { kind: 'other', schema: null, name }, place);
    const inner = this.another(this.names);
    const found = inner.statement(query);
    this.nameChange = {
      op: 'prepare',
      name,
      inner: {
        kind: statementKind(query),
        ...found,
        nameChange: null,
        fingerprint: fingerprint(query),
        start: 0,
        end: 0,
      },
    };
    // The inner effects count at PREPARE as well: a statement that may not run may not be prepared.
    for (const one of inner.effects()) {
      this.addEffect(one.effect === 'opaque' ? one : { ...one, via: one.via ?? 'prepare' });
    }
    this.#take(inner);
  }

  #take(inner: EffectWalk): void {
    if (inner.#uses === null) this.#uses = null;
    else for (const [key, use] of inner.#uses) this.#uses?.set(key, use);
    for (const [at, columns] of inner.met) this.meets(at, columns);
    this.executes.push(...inner.executes);
    this.changesLexing ||= inner.changesLexing;
    this.refuses ??= inner.refuses;
    this.literalsAreFree &&= inner.literalsAreFree;
  }
}

/** False for results that are computed from so much that every rule would take its time over them. */
function canBeHeld(outputs: readonly OutputColumn[]): boolean {
  let columns = 0;
  for (const output of outputs) columns += output.columns.length;
  return columns <= MOST_LINEAGE;
}

const UNKNOWN: Lineage = { from: 'unknown', columns: [] };

const WRITES_EXPLAIN_ONLY_READS: ReadonlySet<EffectName> = new Set(['insert', 'update', 'delete', 'merge']);
const NOT_DONE_BY_EXPLAIN: ReadonlySet<EffectName> = new Set(['create', 'lock', 'cursor', 'maintenance']);

const EXPLAIN_OPTIONS = new Set(
  'analyze verbose costs settings generic_plan buffers serialize wal timing summary memory format'.split(' '),
);

/** The last ANALYZE counts; an option or value that is not known counts as executing. */
function explainExecutes(options: unknown): boolean {
  let executes = false;
  for (const option of nodesIn(options, 'DefElem')) {
    const name = text(option.defname);
    if (!EXPLAIN_OPTIONS.has(name)) return true;
    if (name !== 'analyze') continue;
    const value = option.arg === undefined ? 'true' : optionValue(option.arg);
    executes = !(value === 'false' || value === 'off' || value === '0');
  }
  return executes;
}

/** The value of an option as defGetBoolean reads it: `'x'`, `0`, `on`; lower case. `null` for anything else. */
function optionValue(value: unknown): string | null {
  const [type, body] = only(value);
  if (type === 'String') return text(body.sval).toLowerCase();
  if (type === 'Integer') return String(body.ival ?? 0);
  if (type === 'Boolean') return String(body.boolval ?? false);
  return literal(value);
}

function relation(range: unknown): ObjectName | null {
  if (typeof range !== 'object' || range === null) return null;
  const body = range as TreeNode;
  const schema = (body.schemaname as string | undefined) ?? (body.relpersistence === 't' ? 'pg_temp' : null);
  return { kind: 'relation', schema, name: text(body.relname) };
}

/** What is made is part of a relation that is there. */
const MADE_ON_A_RELATION: ReadonlySet<string> = new Set(['index', 'trigger', 'policy', 'rule']);

function setting(name: string): ObjectName {
  return { kind: 'setting', schema: null, name };
}

function other(name: unknown): ObjectName | null {
  return typeof name === 'string' && name !== '' ? { kind: 'other', schema: null, name } : null;
}

function role(spec: unknown): ObjectName | null {
  const body = (spec ?? {}) as TreeNode;
  const name = text(body.rolename) || text(body.roletype).replace('ROLESPEC_', '').toLowerCase();
  return name === '' ? null : { kind: 'role', schema: null, name };
}

function named(kind: ObjectName['kind'], parts: readonly string[]): ObjectName | null {
  const name = parts.at(-1);
  return name === undefined ? null : { kind, schema: parts.at(-2) ?? null, name };
}

const RELATION_TYPES = new Set(
  `TABLE VIEW MATVIEW SEQUENCE INDEX FOREIGN_TABLE`.split(' ').map((type) => `OBJECT_${type}`),
);
/** Parts of a relation: the last part of the name is theirs, the rest is the relation's. */
const RELATION_PART_TYPES = new Set(
  `COLUMN TRIGGER RULE POLICY TABCONSTRAINT DEFAULT`.split(' ').map((type) => `OBJECT_${type}`),
);
const FUNCTION_TYPES = new Set(`FUNCTION PROCEDURE ROUTINE AGGREGATE`.split(' ').map((type) => `OBJECT_${type}`));

/** The object a DROP, COMMENT, ALTER or GRANT names, by the kind of object the statement says it is. */
function objectOf(type: unknown, value: unknown): ObjectName | null {
  const parts = nameParts(value);
  const objectType = text(type);
  if (RELATION_TYPES.has(objectType)) return named('relation', parts);
  if (RELATION_PART_TYPES.has(objectType)) return named('relation', parts.slice(0, -1));
  if (FUNCTION_TYPES.has(objectType)) return named('function', parts);
  if (objectType === 'OBJECT_SCHEMA') return named('schema', parts.slice(-1));
  if (objectType === 'OBJECT_DATABASE') return named('database', parts.slice(-1));
  if (objectType === 'OBJECT_ROLE') {
    const [node, body] = only(value);
    return node === 'RoleSpec' ? role(body) : null;
  }
  return named('other', parts);
}

function copy(walk: EffectWalk, body: TreeNode, place: Place): void {
  const via: Place = { ...place, via: place.via ?? 'copy' };
  const range = body.relation as TreeNode | undefined;
  if (range === undefined) {
    // The relations a query reads are counted one by one; the query itself is no relation.
    walk.add('copy-out', other('query'), place);
    copiesOut(walk, body, walk.query(body.query, via));
  } else {
    const target = targetOf(walk, range);
    const names = nameParts(body.attlist);
    const columns = names.length === 0 ? null : names;
    if (body.is_from === true) {
      written(walk, 'copy-in', target, null, columns, place);
      if (body.whereClause !== undefined) conditionOn(walk, body.whereClause, target, via);
    } else {
      const { object, relation: found, only: alone, shape } = target;
      const also = found === null ? [] : walk.names.also(found, alone);
      walk.addEffect({
        effect: 'copy-out',
        object,
        predicate: 'none',
        via: place.via,
        ...(columns === null ? {} : { columns }),
        ...(also.length === 0 ? {} : { also }),
      });
      const copied = names.flatMap((name) => shape.column(name) ?? shape.unlisted(name) ?? []);
      // Generated columns are copied where they are named only.
      const generated = new Set(found?.columns.flatMap(({ name, generated: by }) => (by === null ? [] : [name])));
      const all = new Shape(
        shape.columns.filter(({ name }) => !generated.has(name)),
        shape.rest,
      );
      copiesOut(walk, body, columns === null ? all : new Shape(copied, null));
    }
  }
  if (body.is_program === true) walk.add('program', null, place);
  else if (body.filename !== undefined) walk.add('file', null, place);
}

/** Rows go to the client, or to a file or program. */
function copiesOut(walk: EffectWalk, body: TreeNode, rows: Shape): void {
  if (body.filename !== undefined) walk.copies(rows);
  else {
    walk.outputs = outputsOf(rows) ?? null;
    walk.copyOut = copyFormat(body.options);
    if (body.options !== undefined) walk.literalsAreFree = false;
  }
}

/** The server refuses options it does not know, and those that do not fit: they need not be told from others here. */
function copyFormat(options: unknown): CopyFormat {
  const given = new Map<string, string>();
  for (const option of nodesIn(options, 'DefElem')) {
    const [type, value] = option.arg === undefined ? ['', {}] : only(option.arg as TreeNode);
    const words = {
      String: text(value.sval),
      Boolean: String(value.boolval ?? false),
      Integer: String(value.ival ?? 0),
    };
    given.set(text(option.defname), (words as Record<string, string | undefined>)[type] ?? '');
  }
  const format = given.get('format')?.toLowerCase();
  const isCsv = format === 'csv';
  const quote = given.get('quote') ?? '"';
  return {
    format: isCsv || format === 'binary' ? format : 'text',
    delimiter: given.get('delimiter') ?? (isCsv ? ',' : '\t'),
    null: given.get('null') ?? (isCsv ? '' : '\\N'),
    header: given.has('header') && !['false', 'off', '0'].includes(given.get('header')!.toLowerCase()),
    quote,
    escape: given.get('escape') ?? quote,
    encoding: given.get('encoding') ?? null,
  };
}

function conditionOn(walk: EffectWalk, node: unknown, target: Source, place: Place): void {
  const scope: Scope = { columns: [target], named: [target], outer: null };
  walk.use(evaluate(walk, node, { ...place, scope }).lineage, 'condition');
}

function targetOf(walk: EffectWalk, range: TreeNode): Source {
  const found = walk.names.relation(range);
  return new Source(found.object.name, shapeOf(walk, found), {
    object: found.object,
    relation: found.relation,
    only: range.inh !== true,
  });
}

function variableSet(walk: EffectWalk, body: TreeNode, place: Place): void {
  const name = text(body.name);
  switch (body.kind) {
    case 'VAR_SET_MULTI':
      if (name === 'TRANSACTION SNAPSHOT') walk.add('set-session', setting('transaction_snapshot'), place);
      transactionModes(walk, body.args, name === 'SESSION CHARACTERISTICS', place);
      walk.add('transaction', null, place);
      return;
    case 'VAR_RESET_ALL':
      walk.add('set-session', null, place);
      walk.changesLexing = true;
      return;
    case 'VAR_SET_VALUE': {
      const args = Array.isArray(body.args) ? body.args : [];
      walk.setting(name, args.length === 1 ? literal(args[0]) : null, place);
      walk.node(args, place);
      return;
    }
    default:
      walk.setting(name, undefined, place);
  }
}

/** READ WRITE takes a protection away, so it is a setting; READ ONLY, isolation and deferrability only shape the transaction. */
function transactionModes(walk: EffectWalk, modes: unknown, forSession: boolean, place: Place): void {
  for (const mode of nodesIn(modes, 'DefElem')) {
    const name = text(mode.defname);
    const readOnly = name === 'transaction_read_only' && literal(mode.arg) === '1';
    if (forSession) walk.add('set-session', setting(`default_${name}`), place);
    else if (name === 'transaction_read_only' && !readOnly) walk.add('set-session', setting(name), place);
  }
}

function grant(walk: EffectWalk, body: TreeNode, place: Place): void {
  const effect = body.is_grant === true ? 'grant' : 'revoke';
  const objects = Array.isArray(body.objects) ? body.objects : [];
  const inSchemas = body.targtype === 'ACL_TARGET_ALL_IN_SCHEMA';
  for (const object of objects) walk.add(effect, objectOf(inSchemas ? 'OBJECT_SCHEMA' : body.objtype, object), place);
  if (objects.length === 0) walk.add(effect, null, place);
}

/** Fields that are the statement's own object or its alias, and not a relation it reads. */
const OWN_OBJECT = [
  'relation',
  'view',
  'sequence',
  'typevar',
  'table',
  'object',
  'objects',
  'func',
  'funcname',
  'setstmt',
];

/** A statement that does one thing to one object, and whatever is inside it. */
function does(effect: EffectName, object: (body: TreeNode) => ObjectName | null, via: string | null = null): Handler {
  return (walk, body, place, type) => {
    walk.add(effect, object(body), place);
    exposes(walk, type, body);
    walk.inside(type, body, via === null ? place : { ...place, via: place.via ?? via }, OWN_OBJECT);
  };
}

/** The same for a statement with several effects on one object. */
function doesAll(effects: readonly EffectName[], object: (body: TreeNode) => ObjectName | null): Handler {
  return (walk, body, place, type) => {
    for (const effect of effects) walk.add(effect, object(body), place);
    walk.inside(type, body, place, OWN_OBJECT);
  };
}

const onRelation = (body: TreeNode) => relation(body.relation);
const onNothing = () => null;
const onOther = (field: string) => (body: TreeNode) => other(body[field]);
const onName =
  (field: string, kind: ObjectName['kind'] = 'other') =>
  (body: TreeNode) =>
    named(kind, nameParts(body[field]));

/** The objects of a statement that has either `relation` or `object` with `objectType`. */
function relationOrObject(typeField: string): (body: TreeNode) => ObjectName | null {
  return (body) => (body.relation === undefined ? objectOf(body[typeField], body.object) : onRelation(body));
}

/** One effect for each item of a list; one without object where the list is empty (VACUUM of everything). */
function doesToEach(
  effect: EffectName,
  field: string,
  object: (item: unknown, body: TreeNode) => ObjectName | null,
): Handler {
  return (walk, body, place, type) => {
    const items = Array.isArray(body[field]) ? body[field] : [];
    for (const item of items) walk.add(effect, object(item, body), place);
    if (items.length === 0) walk.add(effect, null, place);
    walk.inside(type, body, place, [field, ...OWN_OBJECT]);
  };
}

const rangeItem = (item: unknown) => relation(only(item)[1]);

/** What has rows. */
const QUERIES: Readonly<Record<string, (walk: EffectWalk, body: TreeNode, place: Place) => Shape>> = {
  SelectStmt: (walk, body, place) => {
    const into = intoOf(body);
    if (into === undefined) return select(walk, body, place);
    walk.addVia('create', relation(into.rel), place.via ?? 'select into');
    walk.copies(select(walk, body, place));
    return new Shape([], null);
  },
  InsertStmt: insert,
  UpdateStmt: update,
  DeleteStmt: deleteFrom,
  MergeStmt: merge,
};

/** True for a statement that can have rows. */
export function isQuery(statement: TreeNode): boolean {
  return QUERIES[only(statement)[0]] !== undefined;
}

/** INTO stands in the first arm of a set operation. */
function intoOf(body: TreeNode): TreeNode | undefined {
  if (body.intoClause !== undefined) return body.intoClause as TreeNode;
  return body.larg === undefined ? undefined : intoOf(body.larg as TreeNode);
}

const HANDLERS: Readonly<Record<string, Handler>> = {
  ...Object.fromEntries(
    ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'].map((type): [string, Handler] => [
      type,
      (walk, body, place) => void QUERIES[type]!(walk, body, place),
    ]),
  ),
  ...Object.fromEntries(
    ['FuncCall', 'A_Expr', 'TypeCast', 'SubLink'].map((type): [string, Handler] => [
      type,
      // Outside of queries: a parameter, a default. It goes somewhere.
      (walk, body, place) => walk.use(typedValue(walk, type, body, place).lineage, 'copy'),
    ]),
  ),
  RangeVar: (walk, body, place) => {
    const found = walk.names.relation(body);
    const source = new Source(null, shapeOf(walk, found), { object: found.object, relation: found.relation });
    source.readsAll();
    walk.reads(source, 'none', place);
  },
  CopyStmt: copy,
  TruncateStmt: (walk, body, place) => {
    for (const range of nodesIn(body.relations, 'RangeVar')) {
      const target = targetOf(walk, range);
      written(walk, 'truncate', target, null, null, place);
      if (body.behavior === 'DROP_CASCADE' && target.relation !== null) truncatesReferencing(walk, target.relation);
    }
  },
  LockStmt: doesToEach('lock', 'relations', rangeItem),

  ExplainStmt: (walk, body, place) => walk.explain(body, place),
  PrepareStmt: (walk, body, place) => walk.prepare(body, place),
  ExecuteStmt: (walk, body, place) => {
    const name = text(body.name);
    walk.executes.push(name);
    walk.outputs = null;
    walk.add('execute', other(name), place);
    walk.node(body.params, place);
  },
  DeallocateStmt: (walk, body, place) => {
    const name = text(body.name);
    walk.nameChange = body.isall === true ? { op: 'deallocate-all' } : { op: 'deallocate', name };
    walk.add('prepare', other(name), place);
  },
  DeclareCursorStmt: (walk, body, place) => {
    walk.add('cursor', other(body.portalname), place);
    walk.outputs = outputsOf(walk.query(body.query, { ...place, via: place.via ?? 'cursor' })) ?? null;
    walk.declares = text(body.portalname);
  },
  FetchStmt: (walk, body, place) => {
    walk.add('cursor', other(body.portalname), place);
    if (body.ismove === true) return;
    walk.outputs = null;
    walk.fetches = text(body.portalname);
  },
  ClosePortalStmt: does('cursor', onOther('portalname')),
  DoStmt: (walk) => walk.opaque('anonymous code'),
  CallStmt: (walk, body, place) => {
    const call = (body.funccall ?? {}) as TreeNode;
    walk.outputs = null;
    walk.add('call-procedure', named('function', nameParts(call.funcname)), place);
    walk.changesLexing = true;
    walk.inside('FuncCall', call, place, ['funcname']);
  },

  TransactionStmt: (walk, body, place) => {
    walk.add('transaction', null, place);
    // Its transaction and locks outlive the session, or it ends what another session left.
    if (text(body.kind).includes('PREPARE')) walk.addVia('admin', null, 'two-phase commit');
    transactionModes(walk, body.options, false, place);
  },
  ConstraintsSetStmt: (walk, _body, place) => walk.add('transaction', null, place),
  VariableSetStmt: variableSet,
  VariableShowStmt: (walk, body, place) => {
    const name = text(body.name).toLowerCase();
    walk.asks = ownShow(name);
    walk.outputs = [{ name, from: 'none', columns: [] }];
    if (!name.startsWith(CLAIMS)) walk.add('read', setting(name), place, 'none');
  },
  DiscardStmt: (walk, body, place) => {
    walk.add('set-session', null, place);
    if (body.target !== 'DISCARD_ALL') return;
    // DISCARD ALL is RESET ALL, DEALLOCATE ALL and RESET SESSION AUTHORIZATION in one.
    walk.add('set-role', setting('session_authorization'), place);
    walk.nameChange = { op: 'deallocate-all' };
    walk.changesLexing = true;
  },
  AlterSystemStmt: setGlobal(onNothing),
  AlterDatabaseSetStmt: setGlobal((body) => namedAs('database', body.dbname)),
  AlterRoleSetStmt: setGlobal((body) => role(body.role)),

  NotifyStmt: does('notify', onOther('conditionname')),
  ListenStmt: does('listen', onOther('conditionname')),
  UnlistenStmt: does('listen', onOther('conditionname')),
  LoadStmt: doesAll(['admin', 'file'], onOther('filename')),
  CheckPointStmt: does('maintenance', onNothing),
  ClusterStmt: does('maintenance', onRelation),
  ReindexStmt: does('maintenance', (body) => (body.relation === undefined ? other(body.name) : onRelation(body))),
  RefreshMatViewStmt: does('maintenance', onRelation),
  VacuumStmt: doesToEach('maintenance', 'rels', (item) => relation((only(item)[1] as TreeNode).relation)),

  GrantStmt: grant,
  AlterDefaultPrivilegesStmt: (walk, body, place) => grant(walk, (body.action ?? {}) as TreeNode, place),
  GrantRoleStmt: (walk, body, place) => {
    const effect = body.is_grant === true ? 'grant' : 'revoke';
    for (const granted of nodesIn(body.granted_roles, 'AccessPriv')) {
      walk.add(effect, namedAs('role', granted.priv_name), place);
    }
  },
  CreateRoleStmt: does('role', (body) => namedAs('role', body.role)),
  AlterRoleStmt: (walk, body, place) => walk.add('role', role(body.role), place),
  DropRoleStmt: doesToEach('role', 'roles', (item) => role(only(item)[1])),
  ReassignOwnedStmt: doesToEach('role', 'roles', (item) => role(only(item)[1])),
  DropOwnedStmt: (walk, body, place) => {
    for (const owner of nodesIn(body.roles, 'RoleSpec')) walk.add('role', role(owner), place);
    walk.add('drop', null, place);
  },

  CreateStmt: does('create', onRelation),
  CreateForeignTableStmt: (walk, body, place) => {
    walk.typed('CreateStmt', body.base as TreeNode, place);
    walk.add('network', other(body.servername), place);
  },
  CreateTableAsStmt: (walk, body, place) => {
    const into = (body.into ?? {}) as TreeNode;
    walk.add('create', relation(into.rel), place);
    walk.copies(walk.query(body.query, { ...place, via: place.via ?? 'create table as' }));
  },
  ViewStmt: (walk, body, place) => {
    walk.add('create', relation(body.view), place);
    walk.copies(walk.query(body.query, { ...place, via: place.via ?? 'view' }));
  },
  CreateSeqStmt: does('create', (body) => relation(body.sequence)),
  CreateSchemaStmt: does('create', (body) => namedAs('schema', body.schemaname ?? roleName(body.authrole))),
  IndexStmt: does('create', onRelation, 'index'),
  CreateStatsStmt: (walk, body, place) => {
    walk.add('create', named('other', nameParts(body.defnames)), place);
    walk.inside('CreateStatsStmt', body, { ...place, via: place.via ?? 'statistics' });
  },
  CreateTrigStmt: does('create', onRelation, 'trigger'),
  CreateEventTrigStmt: does('create', onOther('trigname')),
  CreatePolicyStmt: does('create', (body) => relation(body.table), 'policy'),
  RuleStmt: does('create', onRelation, 'rule'),
  CreateFunctionStmt: does('create', onName('funcname', 'function'), 'function body'),
  DefineStmt: does('create', (body) =>
    named(body.kind === 'OBJECT_AGGREGATE' ? 'function' : 'other', nameParts(body.defnames)),
  ),
  CreateDomainStmt: does('create', onName('domainname')),
  CompositeTypeStmt: does('create', (body) => {
    const typevar = (body.typevar ?? {}) as TreeNode;
    return {
      kind: 'other',
      schema: (typevar.schemaname as string | undefined) ?? null,
      name: text(typevar.relname),
    };
  }),
  CreateEnumStmt: does('create', onName('typeName')),
  CreateRangeStmt: does('create', onName('typeName')),
  CreateCastStmt: does('create', onNothing),
  CreateTransformStmt: does('create', onOther('lang')),
  CreateConversionStmt: does('create', onName('conversion_name')),
  CreateOpClassStmt: does('create', onName('opclassname')),
  CreateOpFamilyStmt: does('create', onName('opfamilyname')),
  CreateAmStmt: does('create', onOther('amname')),
  CreatePLangStmt: does('create', onOther('plname')),
  CreateExtensionStmt: does('create', onOther('extname')),
  CreatePublicationStmt: does('create', onOther('pubname'), 'publication'),
  CreatedbStmt: does('create', (body) => namedAs('database', body.dbname)),
  CreateTableSpaceStmt: doesAll(['create', 'file'], onOther('tablespacename')),
  CreateFdwStmt: doesAll(['create', 'network'], onOther('fdwname')),
  CreateForeignServerStmt: doesAll(['create', 'network'], onOther('servername')),
  CreateUserMappingStmt: doesAll(['create', 'network'], onOther('servername')),
  CreateSubscriptionStmt: doesAll(['create', 'network'], onOther('subname')),
  ImportForeignSchemaStmt: doesAll(['create', 'network'], (body) => namedAs('schema', body.local_schema)),

  AlterTableStmt: does('alter', onRelation),
  PartitionCmd: (walk, body, place) => {
    walk.add('alter', relation(body.name), { ...place, via: place.via ?? 'partition' });
    walk.inside('PartitionCmd', body, place, ['name']);
  },
  AlterDomainStmt: does('alter', onName('typeName')),
  AlterSeqStmt: does('alter', (body) => relation(body.sequence)),
  AlterPolicyStmt: does('alter', (body) => relation(body.table), 'policy'),
  AlterFunctionStmt: does('alter', (body) =>
    named('function', nameParts((body.func as TreeNode | undefined)?.objname)),
  ),
  AlterObjectDependsStmt: does('alter', relationOrObject('objectType')),
  AlterObjectSchemaStmt: does('alter', relationOrObject('objectType')),
  AlterOwnerStmt: does('alter', relationOrObject('objectType')),
  AlterOperatorStmt: does('alter', onNothing),
  AlterTypeStmt: does('alter', onName('typeName')),
  AlterEnumStmt: does('alter', onName('typeName')),
  AlterCollationStmt: does('alter', onName('collname')),
  AlterStatsStmt: does('alter', onName('defnames')),
  AlterOpFamilyStmt: does('alter', onName('opfamilyname')),
  AlterTSDictionaryStmt: does('alter', onName('dictname')),
  AlterTSConfigurationStmt: does('alter', onName('cfgname')),
  AlterExtensionStmt: does('alter', onOther('extname')),
  AlterExtensionContentsStmt: does('alter', onOther('extname')),
  AlterEventTrigStmt: does('alter', onOther('trigname')),
  AlterPublicationStmt: does('alter', onOther('pubname'), 'publication'),
  AlterDatabaseStmt: does('alter', (body) => namedAs('database', body.dbname)),
  AlterDatabaseRefreshCollStmt: does('alter', (body) => namedAs('database', body.dbname)),
  AlterTableSpaceOptionsStmt: does('alter', onOther('tablespacename')),
  AlterTableMoveAllStmt: does('alter', onOther('orig_tablespacename')),
  AlterFdwStmt: doesAll(['alter', 'network'], onOther('fdwname')),
  AlterForeignServerStmt: doesAll(['alter', 'network'], onOther('servername')),
  AlterUserMappingStmt: doesAll(['alter', 'network'], onOther('servername')),
  AlterSubscriptionStmt: doesAll(['alter', 'network'], onOther('subname')),
  SecLabelStmt: does('alter', (body) => objectOf(body.objtype, body.object)),
  RenameStmt: does('rename', relationOrObject('renameType')),
  CommentStmt: does('comment', (body) => objectOf(body.objtype, body.object)),

  DropStmt: doesToEach('drop', 'objects', (item, body) => objectOf(body.removeType, item)),
  DropdbStmt: does('drop', (body) => namedAs('database', body.dbname)),
  DropTableSpaceStmt: doesAll(['drop', 'file'], onOther('tablespacename')),
  DropUserMappingStmt: does('drop', onOther('servername')),
  DropSubscriptionStmt: doesAll(['drop', 'network'], onOther('subname')),
};

function namedAs(kind: ObjectName['kind'], name: unknown): ObjectName | null {
  return typeof name === 'string' && name !== '' ? { kind, schema: null, name } : null;
}

function roleName(spec: unknown): string | undefined {
  return role(spec)?.name;
}

/** A setting for sessions to come: of a role, a database or the whole server (`target` says which; none for the server). */
function setGlobal(target: (body: TreeNode) => ObjectName | null): Handler {
  return (walk, body, place) => {
    const setstmt = (body.setstmt ?? {}) as TreeNode;
    const name = text(setstmt.name).toLowerCase();
    walk.addVia('set-global', name === '' ? null : setting(name), place.via);
    const on = target(body);
    if (on?.kind === 'role') walk.add('role', on, place);
    else if (on !== null) walk.add('alter', on, place);
  };
}
