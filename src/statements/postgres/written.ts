import type { CatalogueRelation, CatalogueTrigger } from '../catalogue.ts';
import type { EffectName, ObjectName, Predicate } from '../facts.ts';
import { referencing } from '../references.ts';
import { expressionCode, ruleCode, triggerCode } from './code.ts';
import type { EffectWalk, Place } from './effects.ts';
import { objectOf } from './names.ts';
import type { Source } from './scope.ts';
import { withoutModifier } from './types.ts';
import { readView } from './views.ts';

/** What else happens when a relation is written: views write what they read, triggers and rules run, foreign keys cascade. */

const TRIGGER_EVENTS: Readonly<Partial<Record<EffectName, CatalogueTrigger['events'][number]>>> = {
  insert: 'insert',
  'copy-in': 'insert',
  update: 'update',
  delete: 'delete',
  truncate: 'truncate',
};

const BRINGS_ROWS: ReadonlySet<EffectName> = new Set(['insert', 'copy-in']);

/** Adds the effect of writing a relation, and everything it sets off. `columns` is `null` where all are meant. */
export function written(
  walk: EffectWalk,
  effect: EffectName,
  { object, relation, only }: Source,
  predicate: Predicate | null,
  columns: readonly string[] | null,
  place: Place,
): void {
  const also = relation === null ? [] : walk.names.also(relation, only);
  // Without a list rows bring a value for every column.
  const named =
    columns ?? (BRINGS_ROWS.has(effect) && relation !== null ? relation.columns.map(({ name }) => name) : null);
  walk.addEffect({
    effect,
    object,
    predicate,
    via: place.via,
    ...(named === null ? {} : { columns: named }),
    ...(also.length === 0 ? {} : { also }),
  });
  if (object !== null && relation === null) writesSystemCatalogue(walk, object);
  if (relation !== null) setOff(walk, effect, relation, { predicate, columns, only, via: place.via });
}

/** The server keeps what it is in relations; an UPDATE of those is whatever statement would have changed them. */
function writesSystemCatalogue(walk: EffectWalk, { schema, name }: ObjectName): void {
  if (schema === null ? !name.startsWith('pg_') : schema !== 'pg_catalog' && schema !== 'information_schema') return;
  walk.addVia('admin', { kind: 'relation', schema, name }, 'system catalogue');
  if (name !== 'pg_settings') return;
  // The view has a rule that turns UPDATE into set_config().
  walk.addVia('set-session', null, 'pg_settings');
  walk.addVia('set-role', null, 'pg_settings');
  walk.changesLexing = true;
}

interface Write {
  readonly predicate: Predicate | null;
  readonly columns: readonly string[] | null;
  readonly only: boolean;
  readonly via: string | null;
}

/** What a write to a relation of the catalogue sets off. Each kind of write to each relation counts once. */
export function setOff(walk: EffectWalk, effect: EffectName, relation: CatalogueRelation, write: Write): void {
  const event = TRIGGER_EVENTS[effect];
  if (event === undefined) return;
  if (!walk.firstTime(`${event} ${write.predicate} ${relation.schema}.${relation.name}`)) return;
  const below = write.only ? [] : (walk.names.catalogue?.descendants(relation) ?? []);
  let replaced = false;
  for (const one of [relation, ...below]) {
    for (const trigger of one.triggers) {
      if (!trigger.events.includes(event)) continue;
      replaced ||= trigger.timing === 'instead of';
      walk.takesCode(triggerCode(walk, trigger), `trigger ${trigger.name}`);
    }
    for (const rule of one.rules) {
      if (!ruleIsFor(rule.event, event)) continue;
      replaced = true;
      const { effects, rows } = ruleCode(walk, rule.definition);
      walk.takesCode(effects, `rule ${rule.name}`);
      walk.hasRowsOfRules ||= rows === null;
    }
  }
  if (event === 'insert' || event === 'update') {
    becomes(walk, relation, event === 'insert' ? null : write.columns);
    for (const one of [relation, ...below]) computes(walk, one);
  }
  if (relation.kind === 'view' && !replaced) throughView(walk, effect, relation, write);
  if (event === 'delete' || event === 'update') {
    for (const one of [relation, ...below]) cascade(walk, event, one, write);
  }
}

/**
 * Defaults, constraints, indexes, policies and generated columns are computed when a row is written. What they read
 * shows to nobody, but a default that is read from somewhere is a copy of it.
 */
function computes(walk: EffectWalk, { name, columns, expressions = [] }: CatalogueRelation): void {
  const generated = columns.flatMap((one) =>
    one.generated === null ? [] : [{ kind: 'default', column: one.name, expression: one.generated } as const],
  );
  for (const one of [...expressions, ...generated]) {
    const { effects, result } = expressionCode(walk, one);
    if (one.kind === 'default' && result.columns.length > 0) walk.use(result, 'copy');
    walk.takesCode(
      effects.filter(({ effect }) => effect !== 'read'),
      `${one.kind} of ${name}`,
    );
  }
}

/** Values become those of a column's type: constraints of domains, input functions and casts of users run. */
function becomes(walk: EffectWalk, { columns }: CatalogueRelation, written: readonly string[] | null): void {
  const { catalogue } = walk.names;
  for (const { name, type } of columns) {
    const [schema, bare] = withoutModifier(type)
      .replace(/(\[\])+$|"/g, '')
      .split('.');
    if (catalogue === null || bare === undefined || written?.includes(name) === false) continue;
    for (const one of catalogue.typesNamed(schema!, bare)) {
      for (const code of one.functions) walk.runsFunction(code, walk.top);
      for (const expression of one.checks) {
        const { effects } = expressionCode(walk, { kind: 'check', column: null, expression });
        walk.takesCode(
          effects.filter(({ effect }) => effect !== 'read'),
          `type ${one.name}`,
        );
      }
    }
    for (const cast of catalogue.data.casts) {
      if (cast.function === null || cast.context === 'explicit' || cast.target !== `${schema}.${bare}`) continue;
      walk.runsFunction(cast.function, walk.top);
    }
  }
}

/** Events are read as words, however the catalogue writes them; one that is not understood counts. */
function ruleIsFor(written: string, event: string): boolean {
  const lower = written.toLowerCase();
  return lower === event || !['select', 'insert', 'update', 'delete'].includes(lower);
}

function throughView(walk: EffectWalk, effect: EffectName, view: CatalogueRelation, write: Write): void {
  const target = readView(walk, view).writes;
  if (target === null) {
    // The server refuses it, unless this is not its catalogue any more.
    walk.opaque(`write through the view ${view.name}`, objectOf(view));
    return;
  }
  const { relation } = target;
  const columns = write.columns?.map((name) => target.columns.get(name));
  const known = columns?.every((name) => name !== undefined) ? (columns as string[]) : null;
  const also = walk.names.also(relation, false);
  walk.addEffect({
    effect,
    object: objectOf(relation),
    predicate: write.predicate,
    via: `view ${view.name}`,
    ...(known === null ? {} : { columns: known }),
    ...(also.length === 0 ? {} : { also }),
  });
  setOff(walk, effect, relation, { ...write, columns: known, only: false });
}

/** Statements that cascade to hundreds of relations are for nobody to understand. */
const STEPS_FOR_A_CASCADE = 400;

const ACTIONS: Readonly<Record<string, 'delete' | 'update'>> = {
  cascade: 'delete',
  'set null': 'update',
  'set default': 'update',
};

function cascade(walk: EffectWalk, event: 'delete' | 'update', relation: CatalogueRelation, write: Write): void {
  for (const { from, foreignKey } of referencing(walk.names.catalogue, relation)) {
    const rule = (event === 'delete' ? foreignKey.onDelete : foreignKey.onUpdate).toLowerCase();
    const action = ACTIONS[rule];
    if (action === undefined) continue;
    walk.step(STEPS_FOR_A_CASCADE);
    if (event === 'update' && write.columns !== null) {
      if (!foreignKey.referencedColumns.some((name) => write.columns!.includes(name))) continue;
    }
    // How many rows refer to one row, nobody knows.
    const predicate = write.predicate === 'bounded' || write.predicate === 'keyed' ? 'open' : write.predicate;
    const effect = event === 'update' ? 'update' : action;
    const columns = effect === 'update' ? foreignKey.columns : null;
    walk.addEffect({
      effect,
      object: objectOf(from),
      predicate,
      via: 'foreign key',
      ...(columns === null ? {} : { columns }),
    });
    setOff(walk, effect, from, { predicate, columns, only: false, via: 'foreign key' });
  }
}

/** TRUNCATE ... CASCADE empties every relation that refers to this one, whatever its foreign keys say. */
export function truncatesReferencing(walk: EffectWalk, relation: CatalogueRelation): void {
  for (const { from } of referencing(walk.names.catalogue, relation)) {
    walk.step(STEPS_FOR_A_CASCADE);
    if (!walk.firstTime(`truncate cascade ${from.schema}.${from.name}`)) continue;
    walk.addEffect({ effect: 'truncate', object: objectOf(from), predicate: null, via: 'foreign key' });
    setOff(walk, 'truncate', from, { predicate: null, columns: null, only: false, via: 'foreign key' });
    truncatesReferencing(walk, from);
  }
}
