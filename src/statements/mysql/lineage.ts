import type { CatalogueRelation } from '../catalogue.ts';
import type { ColumnName, ColumnUse, Lineage, OutputColumn, StatementFacts } from '../facts.ts';
import { computedFrom, isSame, NONE, oneOf, plain } from '../postgres/lineage.ts';
import { MOST_LINEAGE, TooComplex } from '../work-budget.ts';
import { type AnalysisContext, classOf, sequenceOf, sequenceRows, withoutStars } from './effects.ts';
import { showsItsValues } from './failing.ts';
import { type Column as ColumnExpression, relationOf } from './scope.ts';
import type {
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
  Select,
  Statement,
  TableReference,
  Update,
} from './tree.ts';

/**
 * What the columns of a result are computed from, and which stored columns have another influence.
 *
 * It needs a catalogue and a statement all of whose names it can place; of every other it tells nothing. Where names could
 * mean several columns, all of them count. What views and triggers do on their own is their maker's: a view counts as the
 * columns its own are computed from, a trigger not at all.
 */
export function lineageOf(statement: Statement, context: AnalysisContext): Pick<StatementFacts, 'outputs' | 'uses'> {
  if (context.catalogue === null) return {};
  const walk = new LineageWalk(context, 0);
  try {
    const outputs = walk.statement(statement);
    const uses = walk.uses();
    const size = (outputs ?? []).reduce((sum, { columns }) => sum + columns.length, uses.length);
    // Every rule would take its time over them.
    if (size > MOST_LINEAGE) return {};
    return { ...(outputs === null ? {} : { outputs }), uses };
  } catch (error) {
    if (error instanceof CannotTell || (error instanceof TooComplex && context.budget.isLast)) return {};
    throw error;
  }
}

/** A name that cannot be placed, or a form whose columns are not followed. */
class CannotTell extends Error {}

/** A column of a table or query; the name in lower case, `''` if none is known. */
interface Column {
  readonly name: string;
  readonly lineage: Lineage;
}

/** What stands in a FROM clause. */
interface Origin {
  readonly alias: string;
  /** The database of a stored table. */
  readonly schema: string | null;
  readonly columns: readonly Column[];
  /** What columns that are not listed are computed from; `null` if all are listed. */
  readonly rest: Lineage | null;
}

interface Scope {
  readonly origins: Origin[];
  readonly aliases: Map<string, Lineage>;
  /** True where a name can be an alias of this query's own items: after WHERE. Sub-selects see them everywhere. */
  seesAliases: boolean;
  /** The columns of `*`, in order; `null` if they cannot be told. */
  star: readonly Column[] | null;
  readonly outer: Scope | null;
}

/** CTEs in sight. Columns `null` while they are not known. */
interface Tables {
  readonly name: string;
  columns: readonly Column[] | null;
  readonly outer: Tables | null;
}

/** Columns of one result: the servers' own limit. */
const MOST_COLUMNS = 4_096;
const MOST_ROUNDS = 20;
const MOST_VIEWS = 8;

/** Statements that show nothing of their own. */
const FOLLOWED = new Set('SET,SET STATEMENT,DO,CREATE TABLE AS,CREATE VIEW,ALTER VIEW,EXPLAIN,EXECUTE'.split(','));

class LineageWalk {
  readonly #context: AnalysisContext;
  readonly #viewDepth: number;
  readonly #uses = new Map<string, ColumnUse>();
  readonly #shapes = new Map<CatalogueRelation, readonly Column[]>();

  constructor(context: AnalysisContext, viewDepth: number) {
    this.#context = context;
    this.#viewDepth = viewDepth;
  }

  uses(): ColumnUse[] {
    return [...this.#uses.values()];
  }

  /** @returns the columns of its result; `null` if they are not followed */
  statement(statement: Statement): OutputColumn[] | null {
    switch (statement.type) {
      case 'query': {
        const columns = this.query(statement.query, null, null);
        return goesElsewhere(statement.query) ? [] : columns.map(output);
      }
      case 'prepare':
        return this.#prepare(statement.name, statement.text, statement.using);
      case 'plain':
        return this.#plain(statement);
      case 'insert':
        return this.#insert(statement);
      case 'update':
      case 'delete':
        return this.#write(statement);
      case 'explain': {
        this.#explained(statement.statement);
        return statement.columns.map((name) => ({ name, ...NONE }));
      }
    }
  }

  /**
   * Plans and their warnings quote values of tables with one row: MySQL's even those that are only compared with constants, in
   * the query as it was rewritten (FORMAT=JSON).
   */
  #explained(statement: Statement): void {
    const { isMaria } = this.#context;
    const inside = new LineageWalk(this.#context, this.#viewDepth);
    const outputs = inside.statement(statement) ?? [];
    for (const one of inside.uses()) {
      const isKept = one.use === 'copy' || (isMaria && one.use === 'equality');
      this.#use({ from: 'plain', columns: [one] }, isKept ? one.use : 'condition');
    }
    for (const { from, columns } of outputs) this.#use({ from, columns }, 'condition');
  }

  #prepare(name: string | null, text: string, using: readonly Expression[]): OutputColumn[] {
    const [inner] = this.#context.read(text);
    if (inner?.uses === undefined || inner.outputs === undefined) throw new CannotTell();
    for (const one of inner.uses) this.#use({ from: 'plain', columns: [one] }, one.use);
    this.#useAll(this.#items(using, [], scopeIn(null), null), 'copy');
    return name === null ? [...inner.outputs] : [];
  }

  /** SET, DO and what creates something from a query; of what others show nothing is told. */
  #plain({ kind, expressions, inner }: Plain): OutputColumn[] | null {
    if (!FOLLOWED.has(kind)) throw new CannotTell();
    this.#useAll(this.#items(expressions, [], scopeIn(null), null), 'copy');
    // Its columns are those of the statement it names.
    if (kind === 'EXECUTE') return null;
    const results = inner.map(({ statement }) => this.statement(statement) ?? []);
    if (kind === 'SET STATEMENT') return results.flat();
    for (const { from, columns } of results.flat()) this.#use({ from, columns }, 'copy');
    return [];
  }

  #step(by = 1): void {
    this.#context.budget.spend(by);
  }

  #use({ from, columns }: Lineage, use: ColumnUse['use']): void {
    if (from === 'unknown') throw new CannotTell();
    this.#step(columns.length);
    for (const column of columns) {
      this.#uses.set(`${use}\0${column.schema}\0${column.relation}\0${column.column}`, { ...column, use });
    }
  }

  #useAll(columns: readonly Column[], use: ColumnUse['use']): void {
    for (const { lineage } of columns) this.#use(lineage, use);
  }

  #insert({ table, columns, rows, query, row, ignores, onDuplicate, returning }: Insert): OutputColumn[] {
    const scope = scopeIn(null);
    const target = this.#stored(table.name, null);
    scope.origins.push(target);
    scope.star = target.columns;
    for (const values of rows) for (const value of values) this.#use(this.#value(value, scope, null), 'copy');
    if (query !== null) {
      // The tables of the query can be named in what follows it.
      if (onDuplicate !== null) throw new CannotTell();
      this.#useAll(this.query(query, null, null), 'copy');
    }
    if (ignores || onDuplicate !== null) {
      // That a row is there already shows in the result. Any column that is given a value may be of a unique key.
      const given = new Set(columns.map((name) => name.toLowerCase()));
      this.#useAll(
        target.columns.filter(({ name }) => given.size === 0 || given.has(name)),
        'condition',
      );
    }
    if (onDuplicate !== null) {
      const after: Scope = { ...scope, origins: [target] };
      if (row !== null) {
        const names = row.columns.length > 0 ? row.columns : target.columns.map(({ name }) => name);
        const given = names.map((name) => ({ name: name.toLowerCase(), lineage: NONE }));
        after.origins.push({ alias: row.name, schema: null, columns: given, rest: null });
      }
      for (const one of onDuplicate) this.#stores(one, after, null);
    }
    return this.#returning(returning, scope);
  }

  /** A value goes into a column. What a column is computed from itself is not copied anywhere. */
  #stores({ column, value }: Assignment, scope: Scope, tables: Tables | null): void {
    const lineage = this.#value(value, scope, tables);
    const own = column.type === 'column' ? this.#column(column, scope) : NONE;
    const others = lineage.columns.filter((one) => !own.columns.includes(one));
    if (lineage.from === 'unknown' || others.length > 0) this.#use({ from: lineage.from, columns: others }, 'copy');
  }

  #write(write: Update | Delete): OutputColumn[] {
    const tables = this.#withClause(write.ctes, write.isRecursive, null);
    const scope = scopeIn(null);
    this.#from(write.tables, scope, tables);
    if (write.type === 'update') {
      for (const one of write.assignments) this.#stores(one, scope, tables);
    }
    if (write.where !== null) this.#condition(write.where, scope, tables);
    for (const one of write.further) this.#condition(one, scope, tables);
    return this.#returning(write.returning, scope);
  }

  #returning(returning: readonly Expression[] | null, scope: Scope): OutputColumn[] {
    return this.#items(returning ?? [], [], scope, null).map(output);
  }

  #withClause(ctes: readonly CommonTable[], isRecursive: boolean, outer: Tables | null): Tables | null {
    let tables = outer;
    // MariaDB's can name each other whatever their order: none is a table's name.
    const all = isRecursive ? ctes.map(({ name }) => ({ name, columns: null as readonly Column[] | null })) : [];
    const entries: Tables[] = [];
    for (const one of all) {
      tables = { ...one, outer: tables };
      entries.push(tables);
    }
    for (const [at, cte] of ctes.entries()) {
      const own = entries[at];
      if (own === undefined)
        tables = {
          name: cte.name,
          columns: this.#renamed(this.query(cte.query, null, tables), cte.columns),
          outer: tables,
        };
      else this.#recursive(cte, own, tables);
    }
    return tables;
  }

  /** The columns of a query that may read its own result: found again until they do not change any more. */
  #recursive(cte: CommonTable, own: Tables, tables: Tables | null): void {
    const [seed, ...others] = cte.query.arms;
    if (seed === undefined) throw new CannotTell();
    const first = others.length === 0 ? cte.query : { ...cte.query, arms: [seed], orderBy: [], limit: [] };
    own.columns = this.#renamed(this.query(first, null, tables), cte.columns);
    if (others.length === 0) return;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const known: readonly Column[] = own.columns;
      const found = this.#renamed(this.query(cte.query, null, tables), cte.columns);
      if (found.length !== known.length) throw new CannotTell();
      own.columns = found.map(
        ({ name, lineage }, at): Column => ({ name, lineage: oneOf([known[at]!.lineage, lineage]) }),
      );
      if (own.columns.every(({ lineage }, at) => isSame(lineage, known[at]!.lineage))) return;
    }
    throw new CannotTell();
  }

  #renamed(columns: readonly Column[], names: readonly string[]): readonly Column[] {
    if (names.length === 0) return columns;
    if (names.length !== columns.length) throw new CannotTell();
    return columns.map(({ lineage }, at) => ({ name: names[at]!.toLowerCase(), lineage }));
  }

  query(query: Query, outer: Scope | null, around: Tables | null): readonly Column[] {
    this.#step();
    if (query.procedure !== null) throw new CannotTell();
    const tables = this.#withClause(query.ctes, query.isRecursive, around);
    const [only, ...others] = query.arms;
    if (only === undefined) throw new CannotTell();
    let columns: readonly Column[];
    if (others.length === 0 && only.type === 'select') columns = this.#select(only, query, outer, tables);
    else {
      const arms = query.arms.map((arm) => this.#arm(arm, outer, tables));
      const [first] = arms as [readonly Column[]];
      if (arms.some((arm) => arm.length !== first.length)) throw new CannotTell();
      this.#step(arms.length * first.length);
      columns = first.map(({ name }, at) => ({ name, lineage: oneOf(arms.map((arm) => arm[at]!.lineage)) }));
      // Which rows are left depends on all columns.
      if (query.comparesArms) this.#useAll(columns, 'condition');
      const scope = scopeIn(null);
      for (const { name, lineage } of columns) addAlias(scope, name, lineage);
      scope.seesAliases = true;
      this.#around(query.orderBy, columns, scope, tables);
      for (const one of query.limit) this.#condition(one, scope, tables);
    }
    this.#into(query.into, columns);
    return columns;
  }

  #into(into: readonly Into[], columns: readonly Column[]): void {
    if (into.length > 0) this.#useAll(columns, 'copy');
  }

  #arm(arm: Arm, outer: Scope | null, tables: Tables | null): readonly Column[] {
    switch (arm.type) {
      case 'select':
        return this.#select(arm, null, outer, tables);
      case 'nested':
        return this.query(arm.query, outer, tables);
      case 'table':
        return this.#table(arm.table.name, null, tables).columns;
      case 'values': {
        const scope = scopeIn(outer);
        const rows = arm.rows.map((row) => row.map((value) => this.#value(value, scope, tables)));
        const [first = []] = rows;
        if (rows.some((row) => row.length !== first.length)) throw new CannotTell();
        return first.map((_, at) => ({ name: '', lineage: oneOf(rows.map((row) => row[at]!)) }));
      }
    }
  }

  #select(select: Select, query: Query | null, outer: Scope | null, tables: Tables | null): readonly Column[] {
    const scope = scopeIn(outer);
    this.#from(select.from, scope, tables);
    const columns = this.#items(select.items, select.labels, scope, tables);
    if (select.where !== null) this.#condition(select.where, scope, tables);
    scope.seesAliases = true;
    if (select.isDistinct) this.#useAll(columns, 'condition');
    this.#around([...select.further, ...(query?.orderBy ?? [])], columns, scope, tables);
    for (const one of query?.limit ?? []) this.#condition(one, scope, tables);
    this.#into(select.into, columns);
    return columns;
  }

  /** GROUP BY, HAVING, ORDER BY: a number is the place of a column. */
  #around(expressions: readonly Expression[], columns: readonly Column[], scope: Scope, tables: Tables | null): void {
    for (const one of expressions) {
      if (isNumber(one)) this.#useAll(columns, 'condition');
      else this.#condition(one, scope, tables);
    }
  }

  #items(
    items: readonly Expression[],
    labels: readonly (string | null)[],
    scope: Scope,
    tables: Tables | null,
  ): readonly Column[] {
    const columns: Column[] = [];
    for (const [at, item] of items.entries()) {
      columns.push(...this.#item(item, labels[at] ?? null, scope, tables));
      if (columns.length > MOST_COLUMNS) throw new CannotTell();
    }
    return columns;
  }

  #item(item: Expression, label: string | null, scope: Scope, tables: Tables | null): readonly Column[] {
    if (item.type === 'column' && item.name === '*') return this.#star(item, scope);
    const lineage = this.#value(item, scope, tables);
    const name = (label ?? (item.type === 'column' ? item.name : '')).toLowerCase();
    if (label !== null) addAlias(scope, name, lineage);
    return [{ name, lineage }];
  }

  #star(star: ColumnExpression, scope: Scope): readonly Column[] {
    const origins = star.table === null ? scope.origins : scope.origins.filter((one) => this.#isNamed(one, star));
    if (origins.length === 0 || (star.table !== null && origins.length > 1)) throw new CannotTell();
    const columns = star.table === null ? scope.star : origins[0]!.rest === null ? origins[0]!.columns : null;
    if (columns === null) throw new CannotTell();
    return columns;
  }

  #isNamed({ alias, schema }: Origin, column: ColumnExpression): boolean {
    const isSame = (one: string | null, other: string | null) => this.#folded(one) === this.#folded(other);
    return isSame(alias, column.table) && (column.schema === null || isSame(schema, column.schema));
  }

  #folded<Text extends string | null>(name: Text): Text | string {
    return this.#context.foldsNames && name !== null ? name.toLowerCase() : name;
  }

  #from(from: readonly TableReference[], scope: Scope, tables: Tables | null): void {
    const shown = from.map((one) => this.#addOrigins(one, scope, tables));
    scope.star = shown.includes(null) ? null : shown.flatMap((columns) => columns ?? []);
    let isNatural = false;
    for (const condition of conditionsIn(from)) {
      if (condition.type === 'column' && condition.name === '*') isNatural = true;
      else this.#condition(condition, scope, tables);
    }
    if (isNatural) this.#natural(scope);
  }

  /** NATURAL: columns of one name are compared. */
  #natural({ origins }: Scope): void {
    const byName = new Map<string, Column[]>();
    for (const { columns, rest } of origins) {
      if (rest !== null) throw new CannotTell();
      this.#step(columns.length);
      for (const column of columns) {
        const same = byName.get(column.name);
        if (same === undefined) byName.set(column.name, [column]);
        else same.push(column);
      }
    }
    for (const same of byName.values()) if (same.length > 1) this.#useAll(same, 'condition');
  }

  /** @returns the columns of `*` over it, in order; `null` if they cannot be told */
  #addOrigins(reference: TableReference, scope: Scope, tables: Tables | null): readonly Column[] | null {
    switch (reference.type) {
      case 'joined': {
        const [first, ...others] = reference.tables.map((table) => this.#addOrigins(table, scope, tables));
        const { merges } = reference;
        if (merges === null) return null;
        return others.reduce<readonly Column[] | null>((left, right, at) => {
          this.#step((left?.length ?? 0) + (right?.length ?? 0));
          return merged(left, right, merges[at]!);
        }, first!);
      }
      case 'derived': {
        const { query, alias, columns: names, lateral } = reference;
        const columns = this.#renamed(this.query(query, lateral ? scope : scope.outer, tables), names);
        scope.origins.push({ alias: alias ?? '', schema: null, columns, rest: null });
        return columns;
      }
      case 'function': {
        const lineage = computedFrom([this.#value(reference.call, scope, tables)]);
        const columns = reference.columns.map((name) => ({ name: name.toLowerCase(), lineage }));
        scope.origins.push({ alias: reference.alias ?? '', schema: null, columns, rest: null });
        return columns;
      }
      case 'table': {
        const origin = this.#table(reference.name, reference.alias, tables);
        scope.origins.push(origin);
        return origin.rest === null ? origin.columns : null;
      }
    }
  }

  #table(name: Name, alias: string | null, tables: Tables | null): Origin {
    if (name.schema === null) {
      for (let one = tables; one !== null; one = one.outer) {
        if (this.#folded(one.name) !== this.#folded(name.name)) continue;
        if (one.columns === null) throw new CannotTell();
        return { alias: alias ?? name.name, schema: null, columns: one.columns, rest: null };
      }
    }
    return this.#stored(name, alias);
  }

  #stored({ schema, name }: Name, alias: string | null): Origin {
    const relation = relationOf(schema, name, this.#context.catalogue, this.#context.database);
    if (relation === null && this.#context.isMaria && sequenceRows(name) !== null)
      return { alias: alias ?? name, schema, columns: [{ name: 'seq', lineage: NONE }], rest: null };
    if (relation === null || relation.columns.length === 0) throw new CannotTell();
    let columns = this.#shapes.get(relation);
    if (columns === undefined) {
      columns = relation.kind === 'view' ? this.#view(relation) : this.#tableColumns(relation);
      this.#shapes.set(relation, columns);
    }
    return { alias: alias ?? name, schema: relation.schema, columns, rest: null };
  }

  #tableColumns(relation: CatalogueRelation): readonly Column[] {
    this.#step(2 * relation.columns.length);
    const known: Column[] = [];
    return relation.columns.map((column) => {
      const own = this.#own(relation, column.name);
      const found = column.generated === null ? own : this.#generated(own, column.generated, relation, known);
      known.push(found);
      return found;
    });
  }

  /** A generated column tells of those it is computed from. @param known the columns before it */
  #generated(own: Column, text: string, relation: CatalogueRelation, known: readonly Column[]): Column {
    const [statement] = this.#context.parse(`SELECT ${text}`) ?? [];
    const arm = statement?.type === 'query' ? statement.query.arms[0] : undefined;
    const after = relation.columns.slice(known.length + 1).map(({ name }) => this.#own(relation, name));
    const columns = [...known, ...after];
    const scope = scopeIn(null);
    scope.origins.push({ alias: relation.name, schema: relation.schema, columns, rest: null });
    let source = computedFrom(columns.map(({ lineage }) => lineage));
    try {
      const inside = new LineageWalk(this.#context, this.#viewDepth);
      if (arm?.type === 'select') source = inside.#value(arm.items[0]!, scope, null);
    } catch (error) {
      // What it is computed from cannot be read: from any column of its table, then.
      if (!(error instanceof CannotTell)) throw error;
    }
    if (source.from === 'none') return own;
    const from = source.from === 'unknown' ? 'unknown' : 'derived';
    return { name: own.name, lineage: { from, columns: [...own.lineage.columns, ...source.columns] } };
  }

  #own({ schema, name: relation }: CatalogueRelation, name: string): Column {
    const column = name.toLowerCase();
    return { name: column, lineage: plain({ schema: this.#folded(schema), relation: this.#folded(relation), column }) };
  }

  /** The columns of a view have its name for them, and those of the columns they are computed from. */
  #view(view: CatalogueRelation): readonly Column[] {
    const statements = view.definition === null ? null : this.#context.parse(view.definition);
    const [only] = statements ?? [];
    if (this.#viewDepth >= MOST_VIEWS || only?.type !== 'query' || statements?.length !== 1) throw new CannotTell();
    const inside = new LineageWalk(this.#context, this.#viewDepth + 1).query(only.query, null, null);
    if (inside.length !== view.columns.length) throw new CannotTell();
    return inside.map(({ lineage: { from, columns } }, at) => {
      const own = this.#own(view, view.columns[at]!.name);
      const names: readonly ColumnName[] = [...own.lineage.columns, ...columns];
      return { name: own.name, lineage: { from: from === 'none' ? 'plain' : from, columns: names } };
    });
  }

  #column(column: ColumnExpression, scope: Scope): Lineage {
    const name = column.name.toLowerCase();
    if (name === '*') throw new CannotTell();
    const possible: Lineage[] = [];
    for (let at: Scope | null = scope; at !== null; at = at.outer) {
      let isListed = false;
      for (const origin of at.origins) {
        if (column.table !== null && !this.#isNamed(origin, column)) continue;
        this.#step();
        const found = named(origin.columns).get(name);
        for (const one of found ?? []) possible.push(one.lineage);
        isListed ||= found !== undefined;
        if (found === undefined && origin.rest !== null) possible.push(computedFrom([origin.rest]));
      }
      const alias = column.table === null && (at !== scope || at.seesAliases) ? at.aliases.get(name) : undefined;
      if (alias !== undefined) possible.push(alias);
      if (isListed || alias !== undefined) return oneOf(possible);
    }
    if (possible.length === 0) throw new CannotTell();
    return computedFrom(possible);
  }

  #value(expression: Expression, scope: Scope, tables: Tables | null): Lineage {
    this.#step();
    const lineage = this.#computed(expression, scope, tables);
    if (lineage.columns.length > 0 && showsItsValues(expression)) this.#use(lineage, 'condition');
    return lineage;
  }

  #computed(expression: Expression, scope: Scope, tables: Tables | null): Lineage {
    const all = (values: readonly Expression[]) => {
      const lineage = computedFrom(values.map((one) => this.#value(one, scope, tables)));
      this.#step(lineage.columns.length);
      return lineage;
    };
    switch (expression.type) {
      case 'column':
        return this.#column(expression, scope);
      case 'literal':
      case 'parameter':
      case 'variable':
      case 'setting':
      case 'sequence':
        return NONE;
      case 'query': {
        const columns = this.query(expression.query, scope, tables);
        return computedFrom(columns.map(({ lineage }) => lineage));
      }
      case 'exists':
        this.query(withoutStars(expression.query), scope, tables);
        return NONE;
      case 'call': {
        const over = all(expression.over);
        // A number is the place of an argument.
        this.#use(expression.over.some(isNumber) ? computedFrom([over, all(expression.arguments)]) : over, 'condition');
        if (sequenceOf(expression, this.#context) !== null) return all(expression.arguments.slice(1));
        const lineage = all(expression.arguments);
        const kind = classOf(expression, this.#context);
        if (kind === null || kind === 'other') this.#use(lineage, 'copy');
        const counted = kind === null ? null : countedColumn(expression);
        return counted !== null && this.#column(counted, scope).from === 'plain' ? NONE : lineage;
      }
      case 'assignment': {
        const lineage = this.#value(expression.value, scope, tables);
        this.#use(lineage, 'copy');
        return lineage;
      }
      case 'pattern':
        return all([expression.value, expression.pattern]);
      case 'not':
        return all([expression.operand]);
      case 'in':
        return all([expression.operand, ...expression.list]);
      case 'row':
        return all(expression.items);
      default:
        return all(expression.operands);
    }
  }

  #condition(condition: Expression, scope: Scope, tables: Tables | null): void {
    if (condition.type === 'and' || condition.type === 'or') {
      for (const operand of condition.operands) this.#condition(operand, scope, tables);
      return;
    }
    const compared = comparedWithConstants(condition);
    if (compared === null) {
      this.#use(this.#value(condition, scope, tables), 'condition');
      return;
    }
    for (const column of compared) {
      const lineage = this.#column(column, scope);
      this.#use(lineage, lineage.from === 'plain' ? 'equality' : 'condition');
    }
  }
}

/** The columns that equal constants: of `a = 1`, `a IN (1, 2)`, `(a, b) = (1, 2)`. `null` for every other condition. */
function comparedWithConstants(condition: Expression): readonly ColumnExpression[] | null {
  if (condition.type === 'in') {
    return condition.negated || !condition.list.every(isConstant) ? null : columnsOf(condition.operand);
  }
  if (condition.type !== 'comparison' || condition.operands.length !== 2 || condition.operators[0] !== '=') return null;
  const [left, right] = condition.operands as [Expression, Expression];
  if (isConstant(right)) return columnsOf(left);
  return isConstant(left) ? columnsOf(right) : null;
}

function columnsOf(expression: Expression): readonly ColumnExpression[] | null {
  if (expression.type === 'column') return [expression];
  if (expression.type !== 'row') return null;
  const columns = expression.items.filter((item) => item.type === 'column');
  return columns.length === expression.items.length ? columns : null;
}

function isConstant(expression: Expression): boolean {
  if (expression.type === 'row') return expression.items.every(isConstant);
  return expression.type === 'parameter' || (expression.type === 'literal' && expression.kind !== 'default');
}

/** Of `COUNT(a)`: how many there are is no value of them. Which of them are the same, COUNT(DISTINCT a), is. */
function countedColumn({
  name,
  arguments: values,
  over,
}: Extract<Expression, { type: 'call' }>): ColumnExpression | null {
  const [only] = values;
  const isCount = name.schema === null && name.name === 'count' && values.length === 1 && over.length === 0;
  return isCount && only?.type === 'column' && only.name !== '*' ? only : null;
}

function isNumber(expression: Expression): boolean {
  return expression.type === 'literal' && expression.kind === 'number';
}

/**
 * The columns of a join in the order of `*`: those that are one, then the others of the left side and of the right.
 *
 * @param names of columns that are one; `*` for all that both sides have
 */
function merged(
  left: readonly Column[] | null,
  right: readonly Column[] | null,
  names: readonly string[],
): readonly Column[] | null {
  if (left === null || right === null) return null;
  if (names.length === 0) return [...left, ...right];
  const isOnTheRight = new Set(right.map(({ name }) => name));
  const namesInCommon = new Set(
    names.includes('*')
      ? left.map(({ name }) => name).filter((name) => isOnTheRight.has(name))
      : names.map((name) => name.toLowerCase()),
  );
  const isCommon = (name: string) => namesInCommon.has(name);
  const common = left.filter(({ name }) => isCommon(name));
  const others = [...left, ...right].filter(({ name }) => !isCommon(name));
  return [...common, ...others];
}

const NAMED = new WeakMap<readonly Column[], ReadonlyMap<string, readonly Column[]>>();

/** Columns by their names. */
function named(columns: readonly Column[]): ReadonlyMap<string, readonly Column[]> {
  const known = NAMED.get(columns);
  if (known !== undefined) return known;
  const found = new Map<string, Column[]>();
  for (const column of columns) {
    const same = found.get(column.name);
    if (same === undefined) found.set(column.name, [column]);
    else same.push(column);
  }
  NAMED.set(columns, found);
  return found;
}

function conditionsIn(references: readonly TableReference[]): Expression[] {
  return references.flatMap((one) => (one.type === 'joined' ? [...one.conditions, ...conditionsIn(one.tables)] : []));
}

function goesElsewhere({ into, arms }: Query): boolean {
  return into.length > 0 || arms.some((arm) => arm.type === 'select' && arm.into.length > 0);
}

function scopeIn(outer: Scope | null): Scope {
  return { origins: [], aliases: new Map(), seesAliases: false, star: [], outer };
}

function addAlias(scope: Scope, name: string, lineage: Lineage): void {
  const known = scope.aliases.get(name);
  scope.aliases.set(name, known === undefined ? lineage : oneOf([known, lineage]));
}

function output({ name, lineage: { from, columns } }: Column): OutputColumn {
  return { name, from, columns };
}
