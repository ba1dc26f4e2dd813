import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../test/servers/postgres.ts';
import type { CatalogueData, CatalogueRelation } from '../statements/catalogue.ts';
import { readPostgresCatalogue } from './postgres.ts';

const SCHEMA = `
CREATE SCHEMA app;
CREATE SCHEMA extensions;
CREATE EXTENSION citext SCHEMA extensions;
CREATE SCHEMA "Odd. Name";
CREATE DOMAIN app.text_of_any_length AS text CHECK (VALUE <> '');
CREATE DOMAIN public.email_address AS app.text_of_any_length CHECK (VALUE ~ '@') CONSTRAINT short CHECK (length(VALUE) < 200);
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE TYPE app.pair AS (x integer, y app.mood);
CREATE TYPE app.span AS RANGE (subtype = integer);

CREATE TABLE app.customers (
  id integer PRIMARY KEY,
  email public.email_address NOT NULL UNIQUE,
  name character varying(20),
  doubled integer GENERATED ALWAYS AS (id * 2) STORED,
  gone integer
);
ALTER TABLE app.customers DROP COLUMN gone;
ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY;
CREATE TABLE app.orders (
  customer integer NOT NULL REFERENCES app.customers ON DELETE CASCADE,
  number integer NOT NULL,
  a integer, b integer NOT NULL, c integer NOT NULL, d integer NOT NULL, t text NOT NULL,
  UNIQUE (number, customer),
  UNIQUE (a),
  UNIQUE (b) DEFERRABLE INITIALLY IMMEDIATE,
  EXCLUDE USING btree (d WITH =)
);
CREATE UNIQUE INDEX ON app.orders (c) WHERE c > 0;
CREATE UNIQUE INDEX ON app.orders (abs(c));
CREATE UNIQUE INDEX ON app.orders (c) INCLUDE (number);
CREATE UNIQUE INDEX ON app.orders (t COLLATE "C");
CREATE UNIQUE INDEX ON app.orders (t text_pattern_ops);
CREATE INDEX ON app.orders (d);
CREATE TABLE "Odd. Name"."Tab""le" ("Col umn" integer);

CREATE TABLE app.living (id integer PRIMARY KEY);
CREATE TABLE app.animal (name text) INHERITS (app.living);
CREATE TABLE app.named (name text);
CREATE TABLE app.dog (id integer PRIMARY KEY) INHERITS (app.animal, app.named);

CREATE TABLE app.events (day date NOT NULL, id integer NOT NULL, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (id);
CREATE TABLE app.events_2026_1 PARTITION OF app.events_2026 FOR VALUES IN (1);
CREATE TABLE app.notes (day date, id integer, FOREIGN KEY (day, id) REFERENCES app.events (day, id));

CREATE VIEW app.names AS SELECT id, name AS label FROM app.customers;
CREATE VIEW app.labels AS SELECT label FROM app.names WHERE id > 5;
CREATE MATERIALIZED VIEW app.counted AS SELECT count(*) AS n FROM app.orders;
CREATE SEQUENCE app.counter;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER remote FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE app.far (id integer) SERVER remote;
CREATE TEMPORARY TABLE passing (id integer);

CREATE FUNCTION app.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER b_audit AFTER INSERT OR UPDATE ON app.customers FOR EACH ROW WHEN (NEW.name IS NOT NULL) EXECUTE FUNCTION app.audit();
CREATE TRIGGER a_audit BEFORE TRUNCATE ON app.customers EXECUTE FUNCTION app.audit();
CREATE TRIGGER off BEFORE DELETE ON app.customers FOR EACH ROW EXECUTE FUNCTION app.audit();
ALTER TABLE app.customers DISABLE TRIGGER off;
CREATE TRIGGER instead INSTEAD OF DELETE ON app.names FOR EACH ROW EXECUTE FUNCTION app.audit();
CREATE TRIGGER each AFTER INSERT ON app.events FOR EACH ROW EXECUTE FUNCTION app.audit();
CREATE RULE divert AS ON UPDATE TO app.labels DO INSTEAD DELETE FROM app.orders;

CREATE FUNCTION app.add(a integer, b integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION app.add(a text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT a';
CREATE FUNCTION app.atomic() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 42; END;
CREATE PROCEDURE app.work(a integer) LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE FUNCTION app.step(a integer, b integer) RETURNS integer LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS 'BEGIN DELETE FROM app.orders; RETURN a; END';
CREATE AGGREGATE app.sly(integer) (SFUNC = app.step, STYPE = integer, INITCOND = '0');
CREATE OPERATOR app.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = app.add);
CREATE OPERATOR app.!! (RIGHTARG = text, FUNCTION = app.add);
CREATE FUNCTION app.as_mood(a integer) RETURNS app.mood LANGUAGE sql STRICT AS 'SELECT NULL::app.mood';
CREATE CAST (integer AS app.mood) WITH FUNCTION app.as_mood AS ASSIGNMENT;
CREATE CAST (app.mood AS integer) WITH INOUT;
CREATE FUNCTION pg_catalog.hidden() RETURNS integer LANGUAGE sql AS 'SELECT 1';

CREATE TYPE app.handmade;
CREATE FUNCTION app.handmade_in(cstring) RETURNS app.handmade LANGUAGE internal STRICT AS 'int4in';
CREATE FUNCTION app.handmade_out(app.handmade) RETURNS cstring LANGUAGE internal STRICT AS 'int4out';
CREATE TYPE app.handmade (INPUT = app.handmade_in, OUTPUT = app.handmade_out, LIKE = integer);

CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_settings;
ALTER ROLE reader SET quote_all_identifiers = on;
ALTER ROLE reader SET search_path = app;
ALTER ROLE reader SET standard_conforming_strings = off;
`;

for (const version of [undefined, 18] as const) {
  describe(`the catalogue of PostgreSQL ${version ?? 'as the machine has it'}`, () => {
    let server: PostgresServer;
    let client: pg.Client;
    let data: CatalogueData;
    let bySuperuser: CatalogueData;

    before(async () => {
      server = await startPostgres(version && { version });
      await server.query(SCHEMA);
      client = await connected('reader', 'reader');
      data = await readPostgresCatalogue(client);
      const superuser = await connected(server.superuser, server.password);
      bySuperuser = await readPostgresCatalogue(superuser);
      await superuser.end();
    });

    after(async () => {
      await client?.end();
      await server?.stop();
    });

    async function connected(user: string, password: string): Promise<pg.Client> {
      const { host, port, database } = server;
      const connection = new pg.Client({ host, port, database, user, password, ssl: false });
      await connection.connect();
      return connection;
    }

    const relation = (schema: string, name: string): CatalogueRelation => {
      const found = data.relations.find((item) => item.schema === schema && item.name === name);
      assert.ok(found, `${schema}.${name} is there`);
      return found;
    };
    const app = (name: string) => relation('app', name);
    const functionsNamed = (name: string) => data.functions.filter((item) => item.name === name);

    test('says what it is of', () => {
      assert.equal(data.version, 1);
      assert.equal(data.dialect, 'postgres');
      assert.equal(data.serverVersion, server.version);
      assert.equal(data.database, 'postgres');
      assert.equal(data.foldsNames, false);
      assert.deepEqual(data.unseen, []);
    });

    test('is the same for any role, whatever settings the role has, and in the same order', () => {
      assert.deepEqual(data, bySuperuser);
    });

    test('has every kind of relation, and none of the system or of a session', () => {
      const kinds = Object.fromEntries(data.relations.map(({ schema, name, kind }) => [`${schema}/${name}`, kind]));
      assert.deepEqual(kinds, {
        'Odd. Name/Tab"le': 'table',
        'app/animal': 'table',
        'app/counted': 'materialized view',
        'app/counter': 'sequence',
        'app/customers': 'table',
        'app/dog': 'table',
        'app/events': 'partitioned',
        'app/events_2026': 'partitioned',
        'app/events_2026_1': 'table',
        'app/far': 'foreign table',
        'app/labels': 'view',
        'app/living': 'table',
        'app/named': 'table',
        'app/names': 'view',
        'app/notes': 'table',
        'app/orders': 'table',
        'app/pair': 'type',
      });
    });

    test('has columns with their types, without dropped ones', () => {
      assert.deepEqual(app('customers').columns, [
        { name: 'id', type: 'integer', notNull: true, generated: null },
        { name: 'email', type: 'public.email_address', notNull: true, generated: null },
        { name: 'name', type: 'character varying(20)', notNull: false, generated: null },
        { name: 'doubled', type: 'integer', notNull: false, generated: '(id * 2)' },
      ]);
      assert.deepEqual(
        relation('Odd. Name', 'Tab"le').columns.map(({ name }) => name),
        ['Col umn'],
      );
      assert.deepEqual(
        app('pair').columns.map(({ name, type }) => `${name} ${type}`),
        ['x integer', 'y app.mood'],
      );
    });

    test('calls a unique index a key only if equality on its columns always finds at most one row', () => {
      assert.deepEqual(app('customers').keys, [['email'], ['id']]);
      // Not: nullable (a), deferrable (b), partial and expression (c), exclusion (d), other collation and operators (t).
      assert.deepEqual(app('orders').keys, [['c'], ['number', 'customer']]);
      assert.deepEqual(app('events').keys, [['day', 'id']]);
      assert.deepEqual(app('events_2026_1').keys, [['day', 'id']]);
      assert.deepEqual(app('counted').keys, []);
    });

    test('a table with inheritance children has no keys, for its rows are theirs too', () => {
      assert.deepEqual(app('living').keys, []);
      assert.deepEqual(app('dog').keys, [['id']]);
    });

    test('has foreign keys, each once, to partitioned tables as well', () => {
      assert.deepEqual(app('orders').foreignKeys, [
        {
          columns: ['customer'],
          references: { schema: 'app', name: 'customers' },
          referencedColumns: ['id'],
          onDelete: 'cascade',
          onUpdate: 'no action',
        },
      ]);
      assert.deepEqual(app('notes').foreignKeys, [
        {
          columns: ['day', 'id'],
          references: { schema: 'app', name: 'events' },
          referencedColumns: ['day', 'id'],
          onDelete: 'no action',
          onUpdate: 'no action',
        },
      ]);
    });

    test('has all parents of children and partitions, nearest first', () => {
      const parents = (name: string) => app(name).parents.map(({ schema, name }) => `${schema}.${name}`);
      assert.deepEqual(parents('dog'), ['app.animal', 'app.named', 'app.living']);
      assert.deepEqual(parents('events_2026_1'), ['app.events_2026', 'app.events']);
      assert.deepEqual(parents('events'), []);
    });

    test('has definitions of views, on views too, with every name in full', () => {
      assert.match(
        app('names').definition!,
        /^ SELECT (customers\.)?id,\s+(customers\.)?name AS label\s+FROM app\.customers;$/,
      );
      assert.match(app('labels').definition!, /FROM app\.names\s+WHERE \(?\(?(names\.)?id > 5\)?\)?;$/);
      assert.match(app('counted').definition!, /count\(\*\) AS n\s+FROM app\.orders;$/);
      assert.equal(app('customers').definition, null);
    });

    test('has triggers that can fire, with when, on what, and the function; partitions have those of their parents', () => {
      const triggers = app('customers').triggers.map(({ body, ...rest }) => rest);
      const audit = { schema: 'app', name: 'audit' };
      assert.deepEqual(triggers, [
        { name: 'a_audit', timing: 'before', events: ['truncate'], function: audit },
        { name: 'b_audit', timing: 'after', events: ['insert', 'update'], function: audit },
      ]);
      assert.match(
        app('customers').triggers[1]!.body,
        /WHEN \(\(?new\.name IS NOT NULL\)?\) EXECUTE FUNCTION app\.audit\(\)/i,
      );
      assert.deepEqual(
        app('names').triggers.map(({ timing, events }) => [timing, ...events]),
        [['instead of', 'delete']],
      );
      for (const name of ['events', 'events_2026', 'events_2026_1']) {
        assert.deepEqual(
          app(name).triggers.map(({ name }) => name),
          ['each'],
        );
      }
      assert.deepEqual(app('notes').triggers, []);
    });

    test('has rules besides those that make views', () => {
      const [rule, ...more] = app('labels').rules;
      assert.deepEqual(more, []);
      assert.equal(rule?.name, 'divert');
      assert.equal(rule?.event, 'update');
      assert.match(rule.definition, /DO INSTEAD\s+DELETE FROM app\.orders/);
      assert.deepEqual(app('names').rules, []);
    });

    test('says where row level security applies', () => {
      assert.deepEqual(
        data.relations.filter(({ rowSecurity }) => rowSecurity).map(({ name }) => name),
        ['customers'],
      );
    });

    test('has functions and procedures with each overload, and those that extensions brought', () => {
      const common = { schema: 'app', language: 'sql', calls: [], extension: null } as const;
      const add = { ...common, name: 'add', kind: 'function' } as const;
      assert.deepEqual(functionsNamed('add'), [
        {
          ...add,
          arguments: ['integer', 'integer'],
          signature: 'a integer, b integer',
          returns: 'integer',
          volatility: 'immutable',
          securityDefiner: false,
          body: 'SELECT a + b',
        },
        {
          ...add,
          arguments: ['text'],
          signature: 'a text',
          returns: 'text',
          volatility: 'stable',
          securityDefiner: true,
          body: 'SELECT a',
        },
      ]);
      const [work] = functionsNamed('work');
      assert.equal(work?.kind, 'procedure');
      assert.deepEqual(work.arguments, ['integer']);
      assert.equal(work.returns, 'void');
      assert.equal(work.volatility, 'volatile');
      assert.match(functionsNamed('atomic')[0]!.body!, /BEGIN ATOMIC\s+SELECT 42/);
      assert.equal(functionsNamed('handmade_in')[0]?.body, null);
      assert.equal(functionsNamed('plpgsql_call_handler')[0]?.extension, 'plpgsql');
    });

    test("has a user's function even where it hides among the built-in ones, and none of those", () => {
      assert.equal(functionsNamed('hidden')[0]?.schema, 'pg_catalog');
      assert.deepEqual(functionsNamed('lower'), []);
      assert.deepEqual(functionsNamed('_pg_char_max_length'), []);
    });

    test('an aggregate is as volatile as the functions it runs, whatever PostgreSQL says of it', () => {
      const [sly] = functionsNamed('sly');
      assert.equal(sly?.kind, 'aggregate');
      assert.equal(sly.volatility, 'volatile');
      assert.equal(sly.securityDefiner, true);
      assert.deepEqual(sly.calls, [{ schema: 'app', name: 'step' }]);
      assert.equal(sly.body, null);
    });

    test('has operators with their operands and function', () => {
      const add = { schema: 'app', name: 'add' };
      assert.deepEqual(
        data.operators.filter(({ schema }) => schema === 'app'),
        [
          { schema: 'app', name: '!!', left: null, right: 'text', function: add },
          { schema: 'app', name: '===', left: 'integer', right: 'integer', function: add },
        ],
      );
    });

    test('has casts with their function and when they happen', () => {
      assert.deepEqual(
        data.casts.filter(({ source, target }) => source === 'app.mood' || target === 'app.mood'),
        [
          { source: 'app.mood', target: 'integer', function: null, context: 'explicit' },
          {
            source: 'integer',
            target: 'app.mood',
            function: { schema: 'app', name: 'as_mood' },
            context: 'assignment',
          },
        ],
      );
    });

    test('has what an extension brought, and says which functions are its', () => {
      const equal = data.operators.filter(({ schema, name }) => schema === 'extensions' && name === '=');
      const type = 'extensions.citext';
      const eq = { schema: 'extensions', name: 'citext_eq' };
      assert.deepEqual(equal, [{ schema: 'extensions', name: '=', left: type, right: type, function: eq }]);
      assert.equal(functionsNamed('citext_eq')[0]?.extension, 'citext');
      const implicit = data.casts.filter(({ source, context }) => source === type && context === 'implicit');
      assert.deepEqual(
        implicit.map(({ target }) => target),
        ['character varying', 'text'],
      );
    });

    test('has types, with the checks of a domain and of the domain it is over, and functions of base types', () => {
      const type = (schema: string, name: string) =>
        data.types.find((item) => item.schema === schema && item.name === name);
      assert.deepEqual(Object.fromEntries(data.types.map(({ schema, name, kind }) => [`${schema}.${name}`, kind])), {
        'app.handmade': 'base',
        'app.mood': 'enum',
        'app.pair': 'composite',
        'app.span': 'range',
        'app.span_multirange': 'range',
        'app.text_of_any_length': 'domain',
        'extensions.citext': 'base',
        'public.email_address': 'domain',
      });
      const checks = type('public', 'email_address')!.checks;
      assert.equal(checks.length, 3);
      for (const expression of [/~ '@'/, /length\(.*VALUE.*\) < 200/, /<> ''/]) {
        assert.ok(
          checks.some((check) => expression.test(check)),
          `${expression} is one of ${checks.join(', ')}`,
        );
      }
      assert.deepEqual(type('app', 'handmade')!.functions, [
        { schema: 'app', name: 'handmade_in' },
        { schema: 'app', name: 'handmade_out' },
      ]);
      assert.deepEqual(type('app', 'span')!.functions, []);
    });

    test('leaves the connection outside a transaction and with its own settings', async () => {
      const { rows } = await client.query(
        `SELECT current_setting('search_path') AS path, current_setting('transaction_read_only') AS read_only,
                now() = statement_timestamp() AS on_its_own`,
      );
      assert.deepEqual(rows, [{ path: 'app', read_only: 'off', on_its_own: true }]);
    });

    test('gives up on a view whose table is being altered for long, and works when that is over', async () => {
      const other = await connected(server.superuser, server.password);
      await other.query('BEGIN; LOCK TABLE app.customers IN ACCESS EXCLUSIVE MODE');
      await assert.rejects(readPostgresCatalogue(client), { code: '55P03' });
      await other.query('ROLLBACK');
      await other.end();
      assert.deepEqual(await readPostgresCatalogue(client), data);
    });
  });
}
