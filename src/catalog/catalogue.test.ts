import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogueData, CatalogueFunction, CatalogueRelation } from '../statements/catalogue.ts';
import { Catalogue } from './catalogue.ts';
import { inOrder } from './order.ts';

function relation(schema: string, name: string, more: Partial<CatalogueRelation> = {}): CatalogueRelation {
  return {
    schema,
    name,
    kind: 'table',
    columns: [{ name: 'id', type: 'integer', notNull: true, generated: null }],
    keys: [['id']],
    foreignKeys: [],
    parents: [],
    definition: null,
    triggers: [],
    rules: [],
    rowSecurity: false,
    ...more,
  };
}

function aFunction(schema: string, name: string, args: readonly string[]): CatalogueFunction {
  return {
    schema,
    name,
    kind: 'function',
    arguments: args,
    returns: 'integer',
    volatility: 'stable',
    language: 'sql',
    securityDefiner: false,
    calls: [],
    body: null,
    extension: null,
  };
}

function catalogueData(more: Partial<CatalogueData> = {}): CatalogueData {
  return {
    version: 1,
    dialect: 'postgres',
    serverVersion: '15.1',
    database: 'shop',
    foldsNames: false,
    unseen: [],
    relations: [],
    functions: [],
    operators: [],
    casts: [],
    types: [],
    ...more,
  };
}

test('a relation is found by schema and name, by name alone, and by the first schema of a path that has it', () => {
  const [a, b, c] = [relation('app', 'users'), relation('old', 'users'), relation('app', 'Users')];
  const catalogue = Catalogue.of(catalogueData({ relations: [a, b, c] }));
  assert.equal(catalogue.relation('old', 'users'), b);
  assert.equal(catalogue.relation('none', 'users'), null);
  assert.deepEqual(catalogue.relationsNamed('users'), [a, b]);
  assert.deepEqual(catalogue.relationsNamed('Users'), [c]);
  assert.deepEqual(catalogue.relationsNamed('toString'), []);
  assert.equal(catalogue.resolve('users', ['none', 'old', 'app']), b);
  assert.equal(catalogue.resolve('users', ['none']), null);
  assert.equal(catalogue.resolve('USERS', ['app']), null);
});

test('names fold if the server folds them', () => {
  const users = relation('shop', 'users');
  const catalogue = Catalogue.of(catalogueData({ dialect: 'mysql', foldsNames: true, relations: [users] }));
  assert.equal(catalogue.relation('SHOP', 'Users'), users);
  assert.deepEqual(catalogue.relationsNamed('USERS'), [users]);
});

test('names of routines fold in MySQL, their schemas only where schemas do', () => {
  const data = catalogueData({ dialect: 'mysql', functions: [aFunction('shop', 'Total', ['int'])] });
  assert.equal(Catalogue.of(data).functionsNamed('shop', 'TOTAL').length, 1);
  assert.equal(Catalogue.of(data).functionsNamed('SHOP', 'TOTAL').length, 0);
  assert.equal(Catalogue.of({ ...data, foldsNames: true }).functionsNamed('SHOP', 'TOTAL').length, 1);
  assert.equal(Catalogue.of({ ...data, dialect: 'postgres' }).functionsNamed('shop', 'TOTAL').length, 0);
});

test('inheritance is followed both ways, to the end and past what comes twice', () => {
  const name = (name: string) => ({ schema: 'app', name });
  const top = relation('app', 'top');
  const left = relation('app', 'left', { parents: [name('top')] });
  const right = relation('app', 'right', { parents: [name('top')] });
  const leaf = relation('app', 'leaf', { parents: [name('left'), name('right'), name('top')] });
  const catalogue = Catalogue.of(catalogueData({ relations: [leaf, left, right, top] }));
  assert.deepEqual(catalogue.ancestors(leaf), [left, right, top]);
  assert.deepEqual(catalogue.descendants(name('top')), [leaf, left, right]);
  assert.deepEqual(catalogue.descendants(name('left')), [leaf]);
  assert.deepEqual(catalogue.descendants(leaf), []);
  assert.deepEqual(catalogue.descendants(name('unknown')), []);
  assert.deepEqual(catalogue.ancestors(name('unknown')), []);
});

test('functions, operators and types are found with all that have the name', () => {
  const f = [aFunction('a', 'f', ['integer']), aFunction('a', 'f', ['text']), aFunction('b', 'f', [])];
  const operator = { schema: 'a', name: '=', left: 'a.t', right: 'a.t', function: { schema: 'a', name: 'eq' } };
  const type = { schema: 'a', name: 't', kind: 'base', checks: [], functions: [] } as const;
  const catalogue = Catalogue.of(catalogueData({ functions: f, operators: [operator], types: [type] }));
  assert.deepEqual(catalogue.functionsNamed(null, 'f'), f);
  assert.deepEqual(catalogue.functionsNamed('b', 'f'), [f[2]]);
  assert.deepEqual(catalogue.functionsNamed('b', 'constructor'), []);
  assert.deepEqual(catalogue.operatorsNamed('='), [operator]);
  assert.deepEqual(catalogue.operatorsNamed('<'), []);
  assert.deepEqual(catalogue.typesNamed('a', 't'), [type]);
  assert.deepEqual(catalogue.typesNamed(null, 't'), [type]);
  assert.deepEqual(catalogue.typesNamed('b', 't'), []);
});

test('the version is the same for the same catalogue and changes with every part of it', () => {
  const t = relation('app', 't');
  const base = catalogueData({ relations: [t, relation('app', 'u')] });
  const version = Catalogue.of(base).version;
  assert.match(version, /^[0-9a-f]{16}$/);
  assert.equal(Catalogue.of(structuredClone(base)).version, version);
  assert.equal(Catalogue.of(inOrder({ ...base, relations: base.relations.toReversed() })).version, version);
  const changed: CatalogueData[] = [
    { ...base, serverVersion: '15.2' },
    { ...base, unseen: ['something'] },
    { ...base, relations: [t] },
    { ...base, relations: [{ ...t, keys: [] }, relation('app', 'u')] },
    { ...base, functions: [aFunction('app', 'f', [])] },
    { ...base, casts: [{ source: 'a', target: 'b', function: null, context: 'implicit' }] },
    { ...base, types: [{ schema: 'app', name: 't', kind: 'domain', checks: ['(VALUE > 0)'], functions: [] }] },
    { ...base, operators: [{ schema: 'a', name: '=', left: null, right: 'b', function: { schema: 'a', name: 'f' } }] },
  ];
  const versions = changed.map((data) => Catalogue.of(data).version);
  assert.equal(new Set([version, ...versions]).size, changed.length + 1);
});

test('a large catalogue is built in turns that leave the event loop to others', async () => {
  const columns = Array.from({ length: 20 }, (_, i) => ({
    name: `column_${i}`,
    type: 'character varying(20)',
    notNull: false,
    generated: null,
  }));
  const relations = Array.from({ length: 10_000 }, (_, i) => relation('app', `table_${i}`, { columns }));
  const data = catalogueData({ relations });
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const catalogue = await Catalogue.inTurns(data);
  clearInterval(timer);
  assert.ok(turns >= 3, `${turns} other turns`);
  assert.equal(catalogue.version, Catalogue.of(data).version);
  assert.equal(catalogue.relation('app', 'table_9999'), relations[9999]);
});
