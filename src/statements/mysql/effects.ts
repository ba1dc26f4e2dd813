import type { CatalogueLookup, CatalogueRelation, CatalogueTrigger } from '../catalogue.ts';
import {
  type ClaimChange,
  EFFECT_CLASSES,
  type Effect,
  type EffectName,
  type ObjectName,
  type Predicate,
  type StatementFacts,
} from '../facts.ts';
import type { FunctionClass } from '../postgres/functions.ts';
import { referencing } from '../references.ts';
import { MOST_EFFECTS, TooComplex, type WorkBudget } from '../work-budget.ts';
import { AGGREGATES } from './expression-parser.ts';
import { effectsOfCall, effectsOfCostlyCall, effectsOfPattern, type KnownFunctions } from './functions.ts';
import { type Proof, predicateOn, proofOf } from './proof.ts';
import { type Frame, noteUse, relationOf, type Source, sourcesOf } from './scope.ts';
import { NotUnderstood } from './token-reader.ts';
import {
  type Action,
  type Arm,
  type Assignment,
  type CommonTable,
  type Delete,
  type Expression,
  type Insert,
  type Into,
  type Name,
  type Plain,
  partsOf,
  type Query,
  type Statement,
  type TableReference,
  type Update,
} from './tree.ts';

/**
 * From the tree of one statement to its effects. One walk over all of it, so that an effect counts wherever it hides.
 */

export interface AnalysisContext {
  readonly catalogue: CatalogueLookup | null;
  readonly known: KnownFunctions;
  /** Names of tables and databases that differ only in case are the same. */
  readonly foldsNames: boolean;
  readonly isMaria: boolean;
  /** The default database, `null` if not known. */
  readonly database: string | null;
  readonly budget: WorkBudget;
  /** The facts of a text that is run: of PREPARE. */
  readonly read: (text: string) => readonly StatementFacts[];
  /** The statements of stored text: of a view, of a trigger. `null` if it is not understood. */
  readonly parse: (text: string) => readonly Statement[] | null;
}

/** What a statement does, besides its name and place. */
export type Analysed = Pick<
  StatementFacts,
  'effects' | 'executes' | 'nameChange' | 'changesLexing' | 'refuses' | 'textParameters' | 'claims'
>;

export function analyseStatement(statement: Statement, context: AnalysisContext): Analysed {
  const walk = new EffectWalk(context);
  walk.statement(statement, TOP);
  return {
    effects: walk.effects(),
    executes: walk.executes,
    nameChange: walk.nameChange,
    changesLexing: walk.changesLexing,
    refuses: walk.refuses,
    ...(walk.claims.length === 0 ? {} : { claims: walk.claims }),
    ...(walk.textParameters.size === 0 ? {} : { textParameters: [...walk.textParameters] }),
  };
}

export type Call = Extract<Expression, { type: 'call' }>;

/** What is known of a function; `null` if nothing is, or it may be one that somebody made. */
export function classOf(
  { name: { schema, name }, arguments: given }: Call,
  { known, catalogue }: AnalysisContext,
): FunctionClass | null {
  if (schema !== null || (catalogue !== null && catalogue.functionsNamed(null, name).length > 0)) return null;
  const found = known?.get(name) ?? null;
  // With an argument it sets what it tells.
  return name === 'last_insert_id' && given.length > 0 && found !== null ? 'other' : found;
}

/** The sequence that MariaDB's NEXTVAL, LASTVAL or SETVAL is about: their argument is its name, not a column. */
export function sequenceOf({ name: { schema, name }, arguments: given }: Call, context: AnalysisContext): Name | null {
  const [first] = given;
  if (!context.isMaria || schema !== null || !SEQUENCE_FUNCTIONS.has(name) || first?.type !== 'column') return null;
  return { schema: first.table, name: first.name };
}

/** What surrounds a query: the CTE names it sees, the tables of the queries around it, the construct it hides in. */
interface Place {
  readonly ctes: CteScope | null;
  readonly frame: Frame | null;
  readonly via: string | null;
  /** The CTE whose query this is, if that may read its own result. */
  readonly recursion: CteScope | null;
}

interface CteScope {
  readonly name: string;
  readonly outer: CteScope | null;
  /** As a power of ten. */
  magnitude: number;
  isRead: boolean;
}

const TOP: Place = { ctes: null, frame: null, via: null, recursion: null };

/** Variables by which a client says something about itself; they change nothing at the server. */
const CLAIMS = '@sluice_';

/** Most tables of one query: the servers' own limit. */
const MOST_TABLES = 61;
const STEPS_FOR_A_TABLE = 100;

/** Views in views, triggers that fire triggers: deeper is opaque. */
const MOST_EXPANSIONS = 8;

class EffectWalk {
  readonly executes: string[] = [];
  nameChange: StatementFacts['nameChange'] = null;
  changesLexing = false;
  refuses: string | null = null;
  readonly textParameters = new Set<number>();
  readonly claims: ClaimChange[] = [];
  readonly #context: AnalysisContext;
  readonly #effects = new Map<string, Effect>();
  readonly #cascaded = new Set<string>();
  #expansions = 0;

  constructor(context: AnalysisContext) {
    this.#context = context;
  }

  effects(): Effect[] {
    return [...this.#effects.values()];
  }

  #add(given: Effect): void {
    const { name: variable = '' } = given.object?.kind === 'setting' ? given.object : {};
    if (given.effect === 'set-session' && variable.toLowerCase().startsWith(CLAIMS)) {
      const { value } = given;
      this.claims.push({ name: variable.slice(CLAIMS.length).toLowerCase(), ...(value !== undefined && { value }) });
      return;
    }
    const object = this.#catalogued(this.#folded(this.#resolved(given.object)));
    const effect = object === given.object ? given : { ...given, object };
    const name = object === null ? '' : `${object.kind}\0${object.schema ?? '\0'}\0${object.name}`;
    const key = `${effect.effect}\0${effect.predicate}\0${effect.via}\0${name}\0${effect.value}`;
    const known = this.#effects.get(key);
    if (known === undefined && this.#effects.size >= MOST_EFFECTS) throw new TooComplex('too many effects');
    this.#effects.set(key, known === undefined ? effect : { ...effect, ...bothColumns(known, effect) });
    // The server keeps accounts, privileges and what it logs in tables: a write there is what GRANT and the like do.
    if (object?.kind === 'relation' && WRITES.has(effect.effect) && this.#isOfTheServer(object))
      this.#does('admin', object, 'system catalogue');
  }

  #isOfTheServer({ schema }: ObjectName): boolean {
    const database = (schema ?? this.#context.database ?? '').toLowerCase();
    return SYSTEM_SCHEMAS.has(database) || OTHER_SERVER_SCHEMAS.has(database);
  }

  /** Names without a database are in the default one: those of tables always, those of routines if it has one. */
  #resolved(object: ObjectName | null): ObjectName | null {
    const { database, catalogue } = this.#context;
    if (object === null || object.schema !== null || database === null) return object;
    const isFound =
      object.kind === 'function' && (catalogue?.functionsNamed(database, object.name.toLowerCase()).length ?? 0) > 0;
    return object.kind === 'relation' || isFound ? { ...object, schema: database } : object;
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
    if (relation === null && this.#isSequenceTable(object.name)) return { ...object, catalogued: true };
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
    const [action] = statement.actions;
    // Drivers say it again at login: it changes nothing.
    if (statement.kind === 'USE' && this.#isDefault(action?.object?.schema ?? null)) return;
    for (const action of statement.actions) this.#action(action, place);
    this.#expressions(statement.expressions, place);
    for (const { statement: inner, via } of statement.inner) this.statement(inner, { ...place, via: place.via ?? via });
    if (statement.executes !== null) this.executes.push(statement.executes);
    if (statement.deallocates !== null) this.nameChange = { op: 'deallocate', name: statement.deallocates };
    this.changesLexing ||= statement.changesLexing;
    this.refuses ??= statement.refuses;
  }

  #isDefault(database: string | null): boolean {
    const known = this.#context.database;
    if (known === null || database === null) return false;
    return this.#context.foldsNames ? known.toLowerCase() === database.toLowerCase() : known === database;
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
    for (const parameter of inner.textParameters) this.textParameters.add(parameter);
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
    // The values of USING are not known.
    if (name === null && only.textParameters !== undefined)
      this.#opaque('a value that is compared with text may be a number');
    this.changesLexing ||= only.changesLexing;
    this.refuses ??= only.refuses;
  }

  #withClause(ctes: readonly CommonTable[], isRecursive: boolean, place: Place): Place {
    let scope = place.ctes;
    for (const { name, query } of ctes) {
      const own: CteScope = { name, outer: scope, magnitude: RECURSION_MAGNITUDE, isRead: false };
      const via = place.via ?? 'cte';
      // A name that is only given further on is a table's, as far as can be told.
      const inside = isRecursive ? { ctes: own, recursion: own } : { ctes: scope, recursion: null };
      const magnitude = this.#query(query, { ...inside, frame: null, via });
      if (!own.isRead) own.magnitude = magnitude;
      scope = own;
    }
    return { ...place, ctes: scope };
  }

  /** @returns how many rows it is thought to have, as a power of ten */
  #query(query: Query, outer: Place): number {
    const { recursion } = outer;
    const place = this.#withClause(query.ctes, query.isRecursive, { ...outer, recursion: null });
    const [first] = query.arms;
    const isOne = query.arms.length === 1;
    let magnitude = 0;
    let isRead = false;
    for (const arm of query.arms) {
      if (recursion !== null) recursion.isRead = false;
      magnitude = Math.max(magnitude, this.#arm(arm, place, isOne && arm === first ? query : null));
      if (recursion?.isRead !== true) continue;
      isRead = true;
      if (query.limit.length === 0 && !ends(arm)) this.#resource('recursion that nothing ends', place);
    }
    if (recursion !== null) recursion.isRead = isRead;
    if (!isOne) this.#expressions([...query.orderBy, ...query.limit], place);
    for (const into of query.into) this.#into(into, place);
    if (query.procedure !== null) {
      this.#does('call-procedure', { kind: 'function', schema: null, name: 'analyse' }, place.via);
      this.#expression(query.procedure, place);
    }
    return Math.min(magnitude, magnitudeOfLimit(query.limit));
  }

  /**
   * @param query the query whose only arm it is, with ORDER BY and LIMIT that are about it; `null` if it has others
   * @returns as {@link #query}
   */
  #arm(arm: Arm, place: Place, query: Query | null): number {
    const around = query === null ? [] : [...query.orderBy, ...query.limit];
    switch (arm.type) {
      case 'nested': {
        const magnitude = this.#query(arm.query, place);
        this.#expressions(around, place);
        return magnitude;
      }
      case 'values':
        for (const row of arm.rows) this.#expressions(row, place);
        this.#expressions(around, place);
        return Math.log10(arm.rows.length);
      case 'table': {
        const frame = this.#frame([arm.table], place);
        for (const source of frame.sources) source.usesAll = true;
        this.#expressions(around, { ...place, frame });
        this.#reads(frame, null, place, query?.locks ?? false);
        return TABLE_MAGNITUDE;
      }
      case 'select': {
        const frame = this.#frame(arm.from, place);
        const inside = { ...place, frame };
        const where = arm.where === null ? [] : [arm.where];
        this.#expressions([...arm.items, ...conditionsIn(arm.from), ...arm.further, ...around, ...where], inside);
        this.#reads(frame, this.#proof([...where, ...conditionsOf(arm.from)], frame), place, query?.locks ?? false);
        const magnitude = this.#product(frame, [...where, ...conditionsIn(arm.from)], place);
        for (const into of arm.into) this.#into(into, place);
        return arm.further.length === 0 && arm.items.some(isAggregate) ? 0 : magnitude;
      }
    }
  }

  #proof(conditions: readonly Expression[], frame: Frame): Proof | null {
    return proofOf(conditions, { frame, isPure: (call) => classOf(call, this.#context) === 'pure' });
  }

  /** Tables that no condition ties to each other multiply. @returns as {@link #query} */
  #product({ sources, ...frame }: Frame, conditions: readonly Expression[], place: Place): number {
    const group = new Map<Source, Source>();
    const root = (source: Source): Source => {
      let at = source;
      for (let next = group.get(at); next !== undefined; next = group.get(at)) at = next;
      return at;
    };
    const bound = new Set<Source>();
    if (sources.length > 1) {
      for (const condition of conditions.flatMap(conjuncts)) {
        // NATURAL ties what it joins, whatever that is called.
        const isNatural = condition.type === 'column' && condition.name === '*';
        const proof = isNatural ? null : this.#proof([condition], { sources, ...frame });
        for (const source of proof?.bound.keys() ?? []) bound.add(source);
        const [first, ...others] = (isNatural ? sources : [...proof!.mentions]).filter((one) => sources.includes(one));
        if (first === undefined) continue;
        for (const other of others) if (root(other) !== root(first)) group.set(root(other), root(first));
      }
    }
    const largest = new Map<Source, number>();
    for (const source of sources) {
      const magnitude = bound.has(source) ? Math.min(source.magnitude, 1) : source.magnitude;
      largest.set(root(source), Math.max(largest.get(root(source)) ?? 0, magnitude));
    }
    const magnitude = [...largest.values()].reduce((sum, one) => sum + one, 0);
    if (magnitude >= TOO_MANY_ROWS)
      this.#resource(largest.size > 1 ? 'joins tables without a condition' : 'makes a result without end', place);
    return magnitude;
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
    if (sources.length > MOST_TABLES) throw new NotUnderstood('too many tables');
    return frame;
  }

  #sources(reference: TableReference, frame: Frame, sources: Source[], place: Place): void {
    switch (reference.type) {
      case 'joined':
        for (const table of reference.tables) this.#sources(table, frame, sources, place);
        return;
      case 'derived':
        sources.push(
          computed(
            reference.alias ?? '',
            this.#query(reference.query, reference.lateral ? { ...place, frame } : place),
          ),
        );
        return;
      case 'function':
        this.#expression(reference.call, { ...place, frame });
        sources.push(computed(reference.alias ?? '', DOCUMENT_MAGNITUDE));
        return;
      case 'table': {
        const { name, alias } = reference;
        const cte = name.schema === null ? cteNamed(name.name, place.ctes) : null;
        if (cte === null) sources.push(this.#source(name, alias));
        else {
          cte.isRead = true;
          sources.push(computed(alias ?? name.name, cte.magnitude));
        }
      }
    }
  }

  #source(name: Name, alias: string | null): Source {
    this.#context.budget.spend(STEPS_FOR_A_TABLE);
    const relation = relationOf(name.schema, name.name, this.#context.catalogue, this.#context.database);
    const schema = alias === null ? (name.schema ?? this.#context.database) : null;
    return {
      alias: alias ?? name.name,
      schema,
      object: relationName(name),
      relation,
      columns: new Set(),
      usesAll: false,
      magnitude: this.#magnitudeOf(name, relation !== null),
    };
  }

  #magnitudeOf(name: Name, isStored: boolean): number {
    if (this.#isOfTheServer({ kind: 'relation', ...name })) return CATALOGUE_MAGNITUDE;
    const rows = this.#context.isMaria && !isStored ? sequenceRows(name.name) : null;
    return rows === null ? TABLE_MAGNITUDE : Math.log10(rows);
  }

  /** MariaDB makes them up; with a catalogue, what it does not have and is called so is one. */
  #isSequenceTable(name: string): boolean {
    return this.#context.isMaria && this.#context.catalogue !== null && sequenceRows(name) !== null;
  }

  /** What a query reads, once all of it has been walked. */
  #reads(frame: Frame, proof: Proof | null, place: Place, locks: boolean): void {
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
      else this.#query(only.query, { ...TOP, via: place.via ?? `view ${name}` });
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
    const { table, replaces, query, row } = insert;
    const object = relationName(table.name);
    const columns = insert.columns.map((column) => column.toLowerCase());
    const base = { effect: 'insert', object, predicate: null, via: place.via } as const;
    const source = this.#source(table.name, null);
    const stored = source.relation?.columns.map(({ name }) => name.toLowerCase()) ?? [];
    const written = columns.length > 0 ? columns : stored;
    this.#add(written.length === 0 ? base : { ...base, columns: written });
    const sources = row === null ? [source] : [source, computed(row.name, 0)];
    const inside = { ...place, frame: { sources, outer: place.frame } };
    for (const values of insert.rows) this.#expressions(values, inside);
    if (query !== null) this.#query(query, place);
    const events: CatalogueTrigger['events'][number][] = ['insert'];
    if (replaces) {
      // The rows with the same keys go; which ones a query brings is not known.
      this.#does('delete', object, place.via ?? 'replace', 'open');
      this.#cascades('delete', table.name, 'open', null);
      events.push('delete');
    }
    if (insert.onDuplicate !== null) {
      for (const { value } of insert.onDuplicate) this.#expression(value, inside);
      const written = insert.onDuplicate.map(({ column }) => columnName(column)).sort();
      const predicate = query === null ? 'bounded' : 'open';
      this.#add({ effect: 'update', object, predicate, via: place.via ?? 'on duplicate key', columns: written });
      this.#cascades('update', table.name, predicate, written);
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
      this.#cascades('update', source.object, predicate, [...columns]);
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
      this.#cascades('delete', source.object!, predicate, null);
      this.#writesView(source.object!, 'delete', predicate, place);
      this.#returning(statement.returning, source, predicate, inside);
    }
    this.#readsBesides(frame, targets, proof, place);
  }

  /**
   * What foreign keys do to other tables when rows of this one go or change. Their triggers do not fire then.
   *
   * @param columns those that change; `null` if the rows go
   */
  #cascades(
    event: 'delete' | 'update',
    { schema, name }: Name,
    predicate: Predicate,
    columns: readonly string[] | null,
  ): void {
    const { catalogue, database } = this.#context;
    const relation = relationOf(schema, name, catalogue, database);
    if (catalogue === null || relation === null) return;
    for (const { from, foreignKey } of referencing(catalogue, relation)) {
      this.#context.budget.spend(STEPS_FOR_A_CASCADE);
      const action = CASCADES[(event === 'delete' ? foreignKey.onDelete : foreignKey.onUpdate).toLowerCase()];
      const isTouched = foreignKey.referencedColumns.some((one) => columns?.includes(one.toLowerCase()) ?? true);
      if (action === undefined || !isTouched) continue;
      // How many rows refer to one row, nobody knows.
      const widened = predicate === 'bounded' || predicate === 'keyed' ? 'open' : predicate;
      const effect = event === 'update' ? 'update' : action;
      const written = effect === 'update' ? foreignKey.columns.map((one) => one.toLowerCase()) : null;
      const key = `${effect} ${widened} ${from.schema}.${from.name} ${foreignKey.columns}`;
      if (this.#cascaded.has(key)) continue;
      this.#cascaded.add(key);
      const base = { effect, object: relationName(from), predicate: widened, via: 'foreign key' };
      this.#add(written === null ? base : { ...base, columns: written });
      this.#cascades(effect, from, widened, written);
    }
  }

  /** Walks the conditions of a write and what follows them. */
  #conditions(write: Update | Delete, frame: Frame, inside: Place): Proof | null {
    const { where, tables } = write;
    this.#expressions([...conditionsIn(tables), ...write.further], inside);
    if (where !== null) this.#expression(where, inside);
    const conditions = [...(where === null ? [] : [where]), ...conditionsOf(tables)];
    return proofOf(conditions, {
      frame,
      isPure: (call) => classOf(call, this.#context) === 'pure',
      comparesText: (parameter) => this.textParameters.add(parameter),
    });
  }

  /** A write reads the columns of its conditions and values, and the other tables of its join. */
  #readsBesides(frame: Frame, targets: ReadonlySet<Source>, proof: Proof | null, place: Place): void {
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
    // The view's columns have names of their own, so a key of the table is not proven.
    const proven =
      predicate !== 'bounded' && predicate !== 'keyed' ? predicate : this.#showsOneTable(relation) ? 'bounded' : 'open';
    for (const one of inner.effects()) {
      if (one.effect !== 'read' || one.object === null) this.#add(one);
      else this.#does(effect, one.object, `view ${name.name}`, proven);
    }
  }

  /** True for a view of one table's columns as they are. In others a condition can be about another table, or a constant. */
  #showsOneTable({ definition }: CatalogueRelation): boolean {
    const [only] = (definition === null ? null : this.#context.parse(definition)) ?? [];
    const arm = only?.type === 'query' && only.query.arms.length === 1 ? only.query.arms[0] : undefined;
    if (arm?.type !== 'select' || arm.from.length !== 1 || arm.items.some(({ type }) => type !== 'column'))
      return false;
    const [below] = arm.from;
    if (below?.type !== 'table') return false;
    const relation = relationOf(below.name.schema, below.name.name, this.#context.catalogue, this.#context.database);
    return relation?.kind !== 'view' || this.#showsOneTable(relation);
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
      case 'exists':
        this.#query(withoutStars(expression.query), place);
        return;
      case 'call':
        this.#call(expression, place);
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
        // It changes the one row a sequence has.
        if (expression.advances) this.#does('update', relationName(expression.name), place.via ?? 'sequence', 'keyed');
        return;
      default:
        this.#expressions(partsOf(expression), place);
    }
  }

  #call(call: Call, place: Place): void {
    const { name, schema } = call.name;
    this.#expressions(call.over, place);
    const sequence = sequenceOf(call, this.#context);
    if (sequence !== null) {
      const predicate = name === 'nextval' ? 'keyed' : 'none';
      if (name !== 'lastval') this.#does('update', relationName(sequence), place.via ?? 'sequence', predicate);
      this.#expressions(call.arguments.slice(1), place);
      return;
    }
    const object: ObjectName = { kind: 'function', schema, name };
    const kind = classOf(call, this.#context);
    const given = call.arguments;
    if (kind === null || kind === 'other') this.#does('call-function', object, place.via);
    this.#further(kind === 'resource' ? effectsOfCostlyCall(name, given) : effectsOfCall(name, given), object, place);
    this.#expressions(given, place);
  }

  #further(effects: ReturnType<typeof effectsOfCall>, object: ObjectName | null, place: Place): void {
    for (const { effect, via } of effects)
      this.#does(effect, object, place.via === null ? via : `${via} (${place.via})`);
  }
}

/** Their names fold on every server. */
const SYSTEM_SCHEMAS = new Set(['information_schema', 'performance_schema']);
const OTHER_SERVER_SCHEMAS = new Set(['mysql', 'sys']);

const WRITES: ReadonlySet<EffectName> = new Set(EFFECT_CLASSES.write);

const CASCADES: Readonly<Record<string, 'delete' | 'update'>> = {
  cascade: 'delete',
  'set null': 'update',
  'set default': 'update',
};

/** Statements that cascade to hundreds of tables are for nobody to understand. */
const STEPS_FOR_A_CASCADE = 100;

const SEQUENCE_FUNCTIONS = new Set(['nextval', 'lastval', 'setval']);

const ONLY_READ_BY_EXPLAIN: ReadonlySet<EffectName> = new Set(['insert', 'update', 'delete']);

// Rows as powers of ten: how many a table is thought to have, and how many are out of proportion.
const TABLE_MAGNITUDE = 2.7;
const CATALOGUE_MAGNITUDE = 3.5;
const DOCUMENT_MAGNITUDE = 2;
const RECURSION_MAGNITUDE = 3;
const TOO_MANY_ROWS = 8;
/** Rounds of a recursion that are too many, where a comparison says how many there are. */
const MOST_ROUNDS = 1_000_000;

/** True if the recursive arm has something that can end it: a condition, or a join on one with what is stored. */
function ends(arm: Arm): boolean {
  if (arm.type === 'nested') return arm.query.limit.length > 0 || arm.query.arms.every(ends);
  if (arm.type !== 'select') return true;
  return arm.where === null ? conditionsIn(arm.from).some(mayEnd) : mayEnd(arm.where);
}

/** True if a condition names a column, and no absurd number. */
function mayEnd(condition: Expression): boolean {
  let names = false;
  let isAbsurd = false;
  const look = (one: Expression): void => {
    names ||= one.type === 'column';
    isAbsurd ||= one.type === 'literal' && one.kind !== 'text' && Number(one.value) > MOST_ROUNDS;
    for (const part of partsOf(one)) look(part);
  };
  look(condition);
  return names && !isAbsurd;
}

/** The most rows a LIMIT lets through, as a power of ten; which of its numbers is the count is not asked. */
function magnitudeOfLimit(limit: readonly Expression[]): number {
  const counts = limit.map((one) => (one.type === 'literal' && one.kind === 'number' ? Number(one.value) : Infinity));
  return counts.length === 0 ? Infinity : Math.log10(Math.max(...counts, 1));
}

function isAggregate(item: Expression): boolean {
  return item.type === 'call' && item.name.schema === null && AGGREGATES.has(item.name.name) && item.over.length === 0;
}

/** The parts of a condition that all have to hold. */
function conjuncts(condition: Expression): readonly Expression[] {
  return condition.type === 'and' ? condition.operands.flatMap(conjuncts) : [condition];
}

/** A query that is only asked for whether it has rows. */
export function withoutStars(query: Query): Query {
  const isStar = (item: Expression) => item.type === 'column' && item.name === '*';
  const arms = query.arms.map((arm) =>
    arm.type === 'select' ? { ...arm, items: arm.items.filter((item) => !isStar(item)) } : arm,
  );
  return { ...query, arms };
}

/** The rows of a `seq_<from>_to_<to>_step_<n>` table of MariaDB; `null` for every other name. */
export function sequenceRows(name: string): number | null {
  const parts = /^seq_(\d{1,20})_to_(\d{1,20})(?:_step_(\d{1,20}))?$/i.exec(name);
  if (parts === null) return null;
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

function computed(alias: string, magnitude: number): Source {
  return { alias, schema: null, object: null, relation: null, columns: new Set(), usesAll: false, magnitude };
}

/** Exactly so written: where case matters, a name in another case is a table's. */
function cteNamed(name: string, scope: CteScope | null): CteScope | null {
  for (let one = scope; one !== null; one = one.outer) if (one.name === name) return one;
  return null;
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
