import type { CatalogueLookup, CatalogueTrigger } from '../catalogue.ts';
import type { Effect, EffectName, ObjectName, Predicate, StatementFacts } from '../facts.ts';
import type { FunctionClass } from '../postgres/functions.ts';
import { effectsOfCall, effectsOfCostlyCall, effectsOfPattern, type KnownFunctions } from './functions.ts';
import { predicateOn, proofOf } from './proof.ts';
import { type Frame, noteUse, relationOf, type Source, sourcesOf } from './scope.ts';
import { NotUnderstood } from './token-reader.ts';
import type {
  Action,
  Arm,
  Assignment,
  CommonTable,
  Delete,
  Expression,
  Insert,
  Into,
  Name,
  Plain,
  Query,
  Statement,
  TableReference,
  Update,
} from './tree.ts';

/**
 * From the tree of one statement to its effects. One walk over all of it, so that an effect counts wherever it hides.
 */

export interface AnalysisContext {
  readonly catalogue: CatalogueLookup | null;
  readonly known: KnownFunctions;
  /** Names of tables and databases that differ only in case are the same. */
  readonly foldsNames: boolean;
  /** The default database, `null` if not known. */
  readonly database: string | null;
  /** The facts of a text that is run: of PREPARE. */
  readonly read: (text: string) => readonly StatementFacts[];
  /** The statements of stored text: of a view, of a trigger. `null` if it is not understood. */
  readonly parse: (text: string) => readonly Statement[] | null;
}

/** What a statement does, besides its name and place. */
export type Analysed = Pick<StatementFacts, 'effects' | 'executes' | 'nameChange' | 'changesLexing' | 'refuses'>;

export function analyseStatement(statement: Statement, context: AnalysisContext): Analysed {
  const walk = new EffectWalk(context);
  walk.statement(statement, TOP);
  return {
    effects: walk.effects(),
    executes: walk.executes,
    nameChange: walk.nameChange,
    changesLexing: walk.changesLexing,
    refuses: walk.refuses,
  };
}

/** What is known of a function; `null` if nothing is, or it may be one that somebody made. */
export function classOf({ schema, name }: Name, { known, catalogue }: AnalysisContext): FunctionClass | null {
  if (schema !== null || (catalogue !== null && catalogue.functionsNamed(null, name).length > 0)) return null;
  return known?.get(name) ?? null;
}

/** What surrounds a query: the CTE names it sees, the tables of the queries around it, the construct it hides in. */
interface Place {
  readonly ctes: CteScope | null;
  readonly frame: Frame | null;
  readonly via: string | null;
}

interface CteScope {
  readonly name: string;
  readonly outer: CteScope | null;
}

const TOP: Place = { ctes: null, frame: null, via: null };

/** Most tables of a statement, those of views and triggers included. The servers join 61. */
const MOST_TABLES = 512;

/** Views in views, triggers that fire triggers: deeper is opaque. */
const MOST_EXPANSIONS = 8;

class EffectWalk {
  readonly executes: string[] = [];
  nameChange: StatementFacts['nameChange'] = null;
  changesLexing = false;
  refuses: string | null = null;
  readonly #context: AnalysisContext;
  readonly #effects = new Map<string, Effect>();
  #expansions = 0;
  #tables = 0;

  constructor(context: AnalysisContext) {
    this.#context = context;
  }

  effects(): Effect[] {
    return [...this.#effects.values()];
  }

  #add(given: Effect): void {
    const object = this.#catalogued(this.#folded(given.object));
    const effect = object === given.object ? given : { ...given, object };
    const name = object === null ? '' : `${object.kind}\0${object.schema ?? '\0'}\0${object.name}`;
    const key = `${effect.effect}\0${effect.predicate}\0${effect.via}\0${name}\0${effect.value}`;
    const known = this.#effects.get(key);
    this.#effects.set(key, known === undefined ? effect : { ...effect, ...bothColumns(known, effect) });
  }

  /** Names of tables and databases in one case, where the server does not tell them apart by case. */
  #folded(object: ObjectName | null): ObjectName | null {
    if (object?.kind !== 'relation' && object?.kind !== 'schema') return object;
    const database = object.kind === 'schema' ? object.name : (object.schema ?? this.#context.database ?? '');
    if (!this.#context.foldsNames && !SYSTEM_SCHEMAS.has(database.toLowerCase())) return object;
    return { ...object, schema: object.schema?.toLowerCase() ?? null, name: object.name.toLowerCase() };
  }

  /** Says of a relation that the catalogue has it. Of a view it says so only where its definition can be seen. */
  #catalogued(object: ObjectName | null): ObjectName | null {
    if (object?.kind !== 'relation') return object;
    const relation = relationOf(object.schema, object.name, this.#context.catalogue, this.#context.database);
    if (relation === null || (relation.kind === 'view' && relation.definition === null)) return object;
    return { ...object, catalogued: true };
  }

  #does(effect: EffectName, object: ObjectName | null, via: string | null, predicate: Predicate | null = null): void {
    this.#add({ effect, object, predicate, via });
  }

  #opaque(why: string): void {
    this.#does('opaque', null, why);
    this.changesLexing = true;
  }

  statement(statement: Statement, place: Place): void {
    switch (statement.type) {
      case 'query':
        this.#query(statement.query, place);
        return;
      case 'insert':
        this.#insert(statement, place);
        return;
      case 'update':
        this.#update(statement, place);
        return;
      case 'delete':
        this.#delete(statement, place);
        return;
      case 'explain':
        this.#explain(statement.executes, statement.statement, place);
        return;
      case 'prepare':
        this.#prepare(statement.name, statement.text, place);
        this.#expressions(statement.using, place);
        return;
      case 'plain':
        this.#plain(statement, place);
    }
  }

  #plain(statement: Plain, place: Place): void {
    for (const action of statement.actions) this.#action(action, place);
    this.#expressions(statement.expressions, place);
    for (const { statement: inner, via } of statement.inner) this.statement(inner, { ...place, via: place.via ?? via });
    if (statement.executes !== null) this.executes.push(statement.executes);
    if (statement.deallocates !== null) this.nameChange = { op: 'deallocate', name: statement.deallocates };
    this.changesLexing ||= statement.changesLexing;
    this.refuses ??= statement.refuses;
  }

  #action({ effect, object, via, value }: Action, place: Place): void {
    const isOpaque = effect === 'opaque';
    const predicate: Predicate | null = effect === 'read' || effect === 'update' || effect === 'delete' ? 'none' : null;
    const base = { effect, object, predicate, via: isOpaque ? via : (place.via ?? via) };
    this.#add(value === undefined ? base : { ...base, value });
    if (object?.kind !== 'relation') return;
    if (effect === 'read') this.#expandView({ schema: object.schema, name: object.name }, place);
    if (effect === 'insert') this.#triggers({ schema: object.schema, name: object.name }, ['insert']);
  }

  #explain(executes: boolean, statement: Statement, place: Place): void {
    this.#does('explain', null, place.via);
    if (executes) {
      this.statement(statement, { ...place, via: place.via ?? 'explain analyze' });
      return;
    }
    // Planning does not run the statement. It reads the tables' statistics, and may run derived tables and functions.
    const inner = new EffectWalk(this.#context);
    inner.statement(statement, { ...place, via: place.via ?? 'explain' });
    for (const one of inner.effects()) {
      if (ONLY_READ_BY_EXPLAIN.has(one.effect))
        this.#add({ ...one, effect: 'read', predicate: one.predicate ?? 'none' });
      else if (one.effect !== 'lock') this.#add(one);
    }
    this.changesLexing ||= inner.changesLexing;
  }

  #prepare(name: string | null, text: string, place: Place): void {
    const inner = this.#context.read(text);
    const [only] = inner;
    if (only === undefined || inner.length > 1 || only.nameChange !== null || only.executes.length > 0) {
      this.#opaque('prepared text that is not one statement of its own');
      return;
    }
    const via = name === null ? 'execute immediate' : 'prepare';
    if (name !== null) {
      this.#does('prepare', { kind: 'other', schema: null, name }, place.via);
      this.nameChange = { op: 'prepare', name, inner: only };
    }
    // They count at PREPARE as well: a statement that may not run may not be prepared.
    for (const one of only.effects) this.#add({ ...one, via: one.effect === 'opaque' ? one.via : (one.via ?? via) });
    this.changesLexing ||= only.changesLexing;
    this.refuses ??= only.refuses;
  }

  #withClause(ctes: readonly CommonTable[], isRecursive: boolean, place: Place): Place {
    let scope = place.ctes;
    for (const { name, query } of ctes) {
      const own: CteScope = { name, outer: scope };
      // A name that is only given further on is a table's, as far as can be told.
      const inside = { ctes: isRecursive ? own : scope, frame: null, via: place.via ?? 'cte' };
      this.#query(query, inside);
      scope = own;
    }
    return { ...place, ctes: scope };
  }

  #query(query: Query, outer: Place): void {
    const place = this.#withClause(query.ctes, query.isRecursive, outer);
    const [first] = query.arms;
    const isOne = query.arms.length === 1;
    for (const arm of query.arms) this.#arm(arm, place, isOne && arm === first ? query : null);
    if (!isOne) this.#expressions([...query.orderBy, ...query.limit], place);
    for (const into of query.into) this.#into(into, place);
    if (query.procedure !== null) {
      this.#does('call-procedure', { kind: 'function', schema: null, name: 'analyse' }, place.via);
      this.#expression(query.procedure, place);
    }
  }

  /** @param query the query whose only arm it is, with ORDER BY and LIMIT that are about it; `null` if it has others */
  #arm(arm: Arm, place: Place, query: Query | null): void {
    const around = query === null ? [] : [...query.orderBy, ...query.limit];
    switch (arm.type) {
      case 'nested':
        this.#query(arm.query, place);
        this.#expressions(around, place);
        return;
      case 'values':
        for (const row of arm.rows) this.#expressions(row, place);
        this.#expressions(around, place);
        return;
      case 'table': {
        const frame = this.#frame([arm.table], place);
        for (const source of frame.sources) source.usesAll = true;
        this.#expressions(around, { ...place, frame });
        this.#reads(frame, null, place, query?.locks ?? false);
        return;
      }
      case 'select': {
        const frame = this.#frame(arm.from, place);
        const inside = { ...place, frame };
        const conditions = [...(arm.where === null ? [] : [arm.where]), ...conditionsOf(arm.from)];
        this.#expressions([...arm.items, ...conditionsIn(arm.from), ...arm.further, ...around], inside);
        if (arm.where !== null) this.#expression(arm.where, inside);
        this.#reads(frame, proofOf(conditions, frame), place, query?.locks ?? false);
        this.#crossJoin(frame, arm.where !== null || conditionsIn(arm.from).length > 0, place);
        for (const into of arm.into) this.#into(into, place);
      }
    }
  }

  #crossJoin({ sources }: Frame, hasCondition: boolean, place: Place): void {
    if (sources.length >= MANY_TABLES && !hasCondition) this.#resource('joins tables without a condition', place);
    const rows = sources.reduce((product, { alias, object }) => product * sequenceRows(object?.name ?? alias), 1);
    if (rows > MANY_ROWS) this.#resource('makes a result without end', place);
  }

  #resource(via: string, place: Place): void {
    this.#does('resource', null, place.via === null ? via : `${via} (${place.via})`);
  }

  #into(into: Into, place: Place): void {
    if (into.type === 'variable') {
      this.#does('set-session', variable(into.name), place.via ?? 'into');
      return;
    }
    const file: ObjectName = { kind: 'other', schema: null, name: into.path };
    this.#does('file', file, place.via ?? 'into outfile');
    this.#does('copy-out', file, place.via ?? 'into outfile');
  }

  /** The tables of a FROM clause. What is in its derived tables is walked. */
  #frame(from: readonly TableReference[], place: Place): Frame {
    const sources: Source[] = [];
    const frame: Frame = { sources, outer: place.frame };
    for (const reference of from) this.#sources(reference, frame, sources, place);
    return frame;
  }

  #sources(reference: TableReference, frame: Frame, sources: Source[], place: Place): void {
    switch (reference.type) {
      case 'joined':
        for (const table of reference.tables) this.#sources(table, frame, sources, place);
        return;
      case 'derived':
        this.#query(reference.query, reference.lateral ? { ...place, frame } : place);
        sources.push(computed(reference.alias ?? ''));
        return;
      case 'function':
        this.#expression(reference.call, { ...place, frame });
        sources.push(computed(reference.alias ?? ''));
        return;
      case 'table': {
        const { name, alias } = reference;
        if (name.schema === null && isCte(name.name, place.ctes)) sources.push(computed(alias ?? name.name));
        else sources.push(this.#source(name, alias));
      }
    }
  }

  #source(name: Name, alias: string | null): Source {
    this.#tables += 1;
    if (this.#tables > MOST_TABLES) throw new NotUnderstood('too many tables');
    const relation = relationOf(name.schema, name.name, this.#context.catalogue, this.#context.database);
    const schema = alias === null ? (name.schema ?? this.#context.database) : null;
    return {
      alias: alias ?? name.name,
      schema,
      object: relationName(name),
      relation,
      columns: new Set(),
      usesAll: false,
    };
  }

  /** What a query reads, once all of it has been walked. */
  #reads(frame: Frame, proof: ReturnType<typeof proofOf>, place: Place, locks: boolean): void {
    for (const source of frame.sources) {
      if (source.object === null) continue;
      this.#onSource('read', source, predicateOn(source, proof), place.via);
      if (locks) this.#does('lock', source.object, place.via ?? 'for update');
      this.#expandView(source.object, place);
    }
  }

  #onSource(effect: EffectName, source: Source, predicate: Predicate, via: string | null): void {
    const base = { effect, object: source.object, predicate, via };
    this.#add(source.usesAll ? base : { ...base, columns: [...source.columns].sort() });
  }

  /** The tables a view reads are read, too. */
  #expandView({ schema, name }: Name, place: Place): void {
    const relation = relationOf(schema, name, this.#context.catalogue, this.#context.database);
    if (relation?.kind !== 'view') return;
    this.#expand(`view ${name}`, () => {
      const statements = relation.definition === null ? null : this.#context.parse(relation.definition);
      const [only] = statements ?? [];
      if (only?.type !== 'query' || statements?.length !== 1) this.#opaque(`view ${name} cannot be read`);
      else this.#query(only.query, { ctes: null, frame: null, via: place.via ?? `view ${name}` });
    });
  }

  /** The code that runs when rows of a table change. */
  #triggers({ schema, name }: Name, events: readonly CatalogueTrigger['events'][number][]): void {
    const relation = relationOf(schema, name, this.#context.catalogue, this.#context.database);
    for (const trigger of relation?.triggers ?? []) {
      if (!events.some((event) => trigger.events.includes(event))) continue;
      this.#expand(`trigger ${trigger.name}`, () => {
        const statements = this.#context.parse(withoutBlock(trigger.body));
        if (statements === null) this.#opaque(`trigger ${trigger.name} cannot be read`);
        else for (const one of statements) this.statement(one, { ...TOP, via: `trigger ${trigger.name}` });
      });
    }
  }

  #expand(what: string, expansion: () => void): void {
    if (this.#expansions >= MOST_EXPANSIONS) {
      this.#opaque(`${what} is too deep`);
      return;
    }
    this.#expansions += 1;
    expansion();
    this.#expansions -= 1;
  }

  #insert(insert: Insert, place: Place): void {
    const { table, replaces, query } = insert;
    const object = relationName(table.name);
    const columns = insert.columns.map((column) => column.toLowerCase());
    const base = { effect: 'insert', object, predicate: null, via: place.via } as const;
    this.#add(columns.length === 0 ? base : { ...base, columns });
    const source = this.#source(table.name, null);
    const frame: Frame = { sources: [source], outer: place.frame };
    const inside = { ...place, frame };
    for (const row of insert.rows) this.#expressions(row, inside);
    if (query !== null) this.#query(query, place);
    const events: CatalogueTrigger['events'][number][] = ['insert'];
    if (replaces) {
      // The rows with the same keys go; which ones a query brings is not known.
      this.#does('delete', object, place.via ?? 'replace', 'open');
      events.push('delete');
    }
    if (insert.onDuplicate !== null) {
      for (const { value } of insert.onDuplicate) this.#expression(value, inside);
      const written = insert.onDuplicate.map(({ column }) => columnName(column)).sort();
      const predicate = query === null ? 'bounded' : 'open';
      this.#add({ effect: 'update', object, predicate, via: place.via ?? 'on duplicate key', columns: written });
      events.push('update');
    }
    this.#returning(insert.returning, source, query === null ? 'bounded' : 'open', inside);
    this.#triggers(table.name, events);
    this.#writesView(table.name, 'insert', null, place);
  }

  #returning(returning: readonly Expression[] | null, source: Source, predicate: Predicate, place: Place): void {
    if (returning === null) return;
    const read: Source = { ...source, columns: new Set(), usesAll: false };
    this.#expressions(returning, { ...place, frame: { sources: [read], outer: null } });
    this.#onSource('read', read, predicate, place.via ?? 'returning');
  }

  #update(update: Update, outer: Place): void {
    const place = this.#withClause(update.ctes, update.isRecursive, outer);
    const frame = this.#frame(update.tables, place);
    const inside = { ...place, frame };
    const written = writtenBy(update.assignments, frame);
    this.#expressions(
      update.assignments.map(({ value }) => value),
      inside,
    );
    const proof = this.#conditions(update, frame, inside);
    for (const [source, columns] of written) {
      // A column that may be of a derived table as well is the table's: no other can be written.
      if (source.object === null) continue;
      const predicate = predicateOn(source, proof);
      this.#add({ effect: 'update', object: source.object, predicate, via: place.via, columns: [...columns].sort() });
      this.#triggers(source.object, ['update']);
      this.#writesView(source.object, 'update', predicate, place);
      this.#returning(update.returning, source, predicate, inside);
    }
    const isKnown = [...written.keys()].some(({ object }) => object !== null);
    if (!isKnown) this.#opaque('UPDATE of a table that cannot be told');
    this.#readsBesides(frame, new Set(written.keys()), proof, place);
  }

  #delete(statement: Delete, outer: Place): void {
    const place = this.#withClause(statement.ctes, statement.isRecursive, outer);
    const frame = this.#frame(statement.tables, place);
    const inside = { ...place, frame };
    const proof = this.#conditions(statement, frame, inside);
    const targets = new Set<Source>();
    for (const { schema, name } of statement.targets) {
      const found = frame.sources.filter(
        (source) =>
          source.object !== null &&
          source.alias.toLowerCase() === name.toLowerCase() &&
          (schema === null || source.object.schema === null || source.object.schema === schema),
      );
      if (found.length === 0) this.#opaque(`DELETE from ${name}, which is no table of the statement`);
      for (const source of found) targets.add(source);
    }
    for (const source of targets) {
      const predicate = predicateOn(source, proof);
      this.#does('delete', source.object, place.via, predicate);
      this.#triggers(source.object!, ['delete']);
      this.#writesView(source.object!, 'delete', predicate, place);
      this.#returning(statement.returning, source, predicate, inside);
    }
    this.#readsBesides(frame, targets, proof, place);
  }

  /** Walks the conditions of a write and what follows them. */
  #conditions(write: Update | Delete, frame: Frame, inside: Place): ReturnType<typeof proofOf> {
    const { where, tables } = write;
    this.#expressions([...conditionsIn(tables), ...write.further], inside);
    if (where !== null) this.#expression(where, inside);
    return proofOf([...(where === null ? [] : [where]), ...conditionsOf(tables)], frame);
  }

  /** A write reads the columns of its conditions and values, and the other tables of its join. */
  #readsBesides(frame: Frame, targets: ReadonlySet<Source>, proof: ReturnType<typeof proofOf>, place: Place): void {
    for (const source of frame.sources) {
      if (source.object === null || targets.has(source)) continue;
      this.#onSource('read', source, predicateOn(source, proof), place.via);
      this.#expandView(source.object, place);
    }
  }

  /** A write to a view is one to the tables under it. */
  #writesView(name: Name, effect: EffectName, predicate: Predicate | null, place: Place): void {
    const relation = relationOf(name.schema, name.name, this.#context.catalogue, this.#context.database);
    if (relation?.kind !== 'view') return;
    const inner = new EffectWalk(this.#context);
    inner.#expandView(name, place);
    for (const one of inner.effects()) {
      if (one.effect !== 'read' || one.object === null) this.#add(one);
      // The view's columns have names of their own, so a key of the table is not proven.
      else this.#does(effect, one.object, `view ${name.name}`, predicate === 'keyed' ? 'bounded' : predicate);
    }
  }

  #expressions(expressions: readonly Expression[], place: Place): void {
    for (const expression of expressions) this.#expression(expression, place);
  }

  #expression(expression: Expression, place: Place): void {
    switch (expression.type) {
      case 'column':
        noteUse(expression, place.frame);
        return;
      case 'query':
        this.#query(expression.query, place);
        return;
      case 'call':
        this.#call(expression.name, expression.arguments, place);
        return;
      case 'pattern':
        this.#further(effectsOfPattern(expression.pattern), null, place);
        this.#expressions([expression.value, expression.pattern], place);
        return;
      case 'setting':
        this.#does('read', { kind: 'setting', schema: null, name: expression.name }, place.via, 'none');
        return;
      case 'assignment':
        this.#does('set-session', variable(expression.name), place.via ?? 'assignment');
        this.#expression(expression.value, place);
        return;
      case 'sequence':
        this.#does('update', relationName(expression.name), place.via ?? 'sequence');
        return;
      case 'not':
        this.#expression(expression.operand, place);
        return;
      case 'in':
        this.#expression(expression.operand, place);
        this.#expressions(expression.list, place);
        return;
      case 'row':
        this.#expressions(expression.items, place);
        return;
      case 'and':
      case 'or':
      case 'xor':
      case 'comparison':
      case 'operation':
        this.#expressions(expression.operands, place);
        return;
      case 'literal':
      case 'parameter':
      case 'variable':
    }
  }

  #call({ schema, name }: Name, given: readonly Expression[], place: Place): void {
    const object: ObjectName = { kind: 'function', schema, name };
    const kind = classOf({ schema, name }, this.#context);
    if (kind === null || kind === 'other') this.#does('call-function', object, place.via);
    this.#further(kind === 'resource' ? effectsOfCostlyCall(name, given) : effectsOfCall(name, given), object, place);
    if (SEQUENCE_FUNCTIONS.has(name) && schema === null) {
      // Their argument is the sequence's name, not a column.
      const [first] = given;
      const sequence = first?.type === 'column' ? { schema: first.table, name: first.name } : null;
      this.#does('update', sequence === null ? null : relationName(sequence), place.via ?? 'sequence');
      this.#expressions(given.slice(1), place);
      return;
    }
    this.#expressions(given, place);
  }

  #further(effects: ReturnType<typeof effectsOfCall>, object: ObjectName | null, place: Place): void {
    for (const { effect, via } of effects)
      this.#does(effect, object, place.via === null ? via : `${via} (${place.via})`);
  }
}

/** Their names fold on every server. */
const SYSTEM_SCHEMAS = new Set(['information_schema', 'performance_schema']);

/** MariaDB; elsewhere they are somebody's own functions. */
const SEQUENCE_FUNCTIONS = new Set(['nextval', 'setval']);

const ONLY_READ_BY_EXPLAIN: ReadonlySet<EffectName> = new Set(['insert', 'update', 'delete']);

/** Tables joined without any condition that make a result out of proportion. */
const MANY_TABLES = 3;
/** Rows of MariaDB's `seq_1_to_n` tables together that do. */
const MANY_ROWS = 1_000_000;

/** The rows of a `seq_<from>_to_<to>_step_<n>` table; 1 for every other. */
function sequenceRows(name: string): number {
  const parts = /^seq_(\d{1,20})_to_(\d{1,20})(?:_step_(\d{1,20}))?$/i.exec(name);
  if (parts === null) return 1;
  return Math.abs(Number(parts[2]) - Number(parts[1])) / Math.max(Number(parts[3] ?? 1), 1) + 1;
}

function bothColumns(one: Effect, other: Effect): { readonly columns?: readonly string[] } {
  if (one.columns === undefined || other.columns === undefined) return {};
  return { columns: [...new Set([...one.columns, ...other.columns])].sort() };
}

function relationName({ schema, name }: Name): ObjectName {
  return { kind: 'relation', schema, name };
}

function variable(name: string): ObjectName {
  return { kind: 'setting', schema: null, name: `@${name}` };
}

function computed(alias: string): Source {
  return { alias, schema: null, object: null, relation: null, columns: new Set(), usesAll: false };
}

/** Exactly so written: where case matters, a name in another case is a table's. */
function isCte(name: string, scope: CteScope | null): boolean {
  for (let one = scope; one !== null; one = one.outer) if (one.name === name) return true;
  return false;
}

function columnName(column: Expression): string {
  return column.type === 'column' ? column.name.toLowerCase() : '';
}

/** All ON conditions of a FROM clause. */
function conditionsIn(references: readonly TableReference[]): Expression[] {
  return references.flatMap((one) => (one.type === 'joined' ? [...one.conditions, ...conditionsIn(one.tables)] : []));
}

/** The ON conditions that hold for every row of the result. */
function conditionsOf(references: readonly TableReference[]): Expression[] {
  return references.flatMap((one) =>
    one.type === 'joined' && one.isInner ? [...one.conditions, ...conditionsOf(one.tables)] : [],
  );
}

/** The columns that are assigned, by table: an unqualified one is of every table it can be of. */
function writtenBy(assignments: readonly Assignment[], frame: Frame): ReadonlyMap<Source, ReadonlySet<string>> {
  const written = new Map<Source, Set<string>>();
  for (const { column } of assignments) {
    if (column.type !== 'column') continue;
    for (const source of sourcesOf(column, { ...frame, outer: null })) {
      const columns = written.get(source) ?? new Set();
      written.set(source, columns.add(column.name.toLowerCase()));
    }
  }
  return written;
}

/** The statements of a trigger's body: what is between BEGIN and END, if that is all. */
function withoutBlock(body: string): string {
  const block = /^\s*BEGIN\s([\s\S]*)\bEND\s*;?\s*$/i.exec(body);
  return block?.[1] ?? body;
}
