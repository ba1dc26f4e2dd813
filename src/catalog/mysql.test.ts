import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import mysql from 'mysql2/promise';
import { startMariadb } from '../../test/servers/mariadb.ts';
import type { MysqlFamilyServer } from '../../test/servers/mysql-family.ts';
import type { CatalogueData, CatalogueRelation } from '../statements/catalogue.ts';
import { Catalogue } from './catalogue.ts';
import { readMysqlCatalogue } from './mysql.ts';

const SCHEMA = `
CREATE DATABASE other;
CREATE DATABASE odd_name;
CREATE TABLE customers (
  id int PRIMARY KEY,
  email varchar(100) NOT NULL UNIQUE,
  name varchar(20),
  note varchar(100) NOT NULL,
  doubled int GENERATED ALWAYS AS (id * 2) STORED,
  UNIQUE (name),
  UNIQUE (note(5)),
  KEY (doubled)
);
CREATE TABLE orders (
  customer int NOT NULL,
  number int NOT NULL,
  UNIQUE (number, customer),
  FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE TABLE bookings (
  room int NOT NULL, since date, until date, PERIOD FOR stay (since, until), UNIQUE (room, stay WITHOUT OVERLAPS)
);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3;
CREATE TABLE kept (id int PRIMARY KEY) WITH SYSTEM VERSIONING;
CREATE SEQUENCE counter;
CREATE VIEW names AS SELECT id, name AS label FROM customers;
CREATE VIEW labels AS SELECT label FROM names WHERE id > 5;
CREATE TABLE other.far (id int);
CREATE TRIGGER second BEFORE INSERT ON orders FOR EACH ROW SET NEW.number = 2;
CREATE TRIGGER first BEFORE INSERT ON orders FOR EACH ROW PRECEDES second SET NEW.number = 1;
CREATE TRIGGER gone AFTER DELETE ON orders FOR EACH ROW DELETE FROM customers;
CREATE FUNCTION Both_Names (x int, y varchar(10)) RETURNS int DETERMINISTIC NO SQL RETURN x + 1;
CREATE PROCEDURE both_names (OUT z bigint) SQL SECURITY INVOKER SET z = 1;
CREATE FUNCTION looks () RETURNS int READS SQL DATA RETURN (SELECT count(*) FROM customers);
CREATE FUNCTION undeclared () RETURNS int DETERMINISTIC RETURN 1;
CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'reader';
GRANT SELECT, SHOW VIEW, TRIGGER, EXECUTE ON *.* TO reader@'127.0.0.1';
CREATE USER narrow@'127.0.0.1' IDENTIFIED BY 'narrow';
GRANT SELECT ON *.* TO narrow@'127.0.0.1';
GRANT TRIGGER ON \`o%er\`.* TO narrow@'127.0.0.1';
GRANT TRIGGER ON \`odd\\_name\`.* TO narrow@'127.0.0.1';
CREATE ROLE watcher;
GRANT TRIGGER ON *.* TO watcher;
CREATE USER member@'127.0.0.1' IDENTIFIED BY 'member';
GRANT SELECT ON *.* TO member@'127.0.0.1';
GRANT watcher TO member@'127.0.0.1';
SET DEFAULT ROLE watcher FOR member@'127.0.0.1';
CREATE USER little@'127.0.0.1' IDENTIFIED BY 'little';
GRANT SELECT, EXECUTE ON shop.* TO little@'127.0.0.1';
CREATE TABLE other.basis (id int);
CREATE VIEW other.broken AS SELECT id FROM other.basis;
DROP TABLE other.basis;
SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';
`;

const BROKEN = 'Columns of other.broken: the server did not tell any.';

const server = await startMariadb();
const skip = server === null && 'no MariaDB to be had on this machine';

describe('the catalogue of MariaDB', { skip }, () => {
  let data: CatalogueData;

  before(async () => {
    await server!.query(SCHEMA);
    data = await read(server!, 'reader');
  });

  after(() => server?.stop());

  const relation = (name: string): CatalogueRelation => {
    const found = data.relations.find((item) => item.schema === 'shop' && item.name === name);
    assert.ok(found, `shop.${name} is there`);
    return found;
  };
  const functionsNamed = (name: string) => data.functions.filter((item) => item.name === name);

  test('says what it is of', () => {
    assert.equal(data.dialect, 'mariadb');
    assert.equal(data.serverVersion, server!.version);
    assert.equal(data.database, 'shop');
    assert.equal(data.foldsNames, false);
    assert.deepEqual([data.operators, data.casts, data.types], [[], [], []]);
  });

  test("has every kind of relation in every database but the server's own", () => {
    const kinds = Object.fromEntries(data.relations.map(({ schema, name, kind }) => [`${schema}.${name}`, kind]));
    assert.deepEqual(kinds, {
      'other.broken': 'view',
      'other.far': 'table',
      'shop.bookings': 'table',
      'shop.counter': 'sequence',
      'shop.customers': 'table',
      'shop.kept': 'table',
      'shop.labels': 'view',
      'shop.names': 'view',
      'shop.orders': 'table',
      'shop.parts': 'partitioned',
    });
  });

  test('reads only the databases asked for', async () => {
    const only = await read(server!, 'reader', ['other', 'no_such']);
    assert.deepEqual(
      only.relations.map(({ schema, name }) => `${schema}.${name}`),
      ['other.broken', 'other.far'],
    );
    assert.deepEqual(only.functions, []);
    assert.deepEqual((await read(server!, 'reader', [])).relations, []);
  });

  test('has columns with their types', () => {
    assert.deepEqual(relation('customers').columns, [
      { name: 'id', type: 'int(11)', notNull: true, generated: null },
      { name: 'email', type: 'varchar(100)', notNull: true, generated: null },
      { name: 'name', type: 'varchar(20)', notNull: false, generated: null },
      { name: 'note', type: 'varchar(100)', notNull: true, generated: null },
      { name: 'doubled', type: 'int(11)', notNull: false, generated: '`id` * 2' },
    ]);
  });

  test('calls a unique index a key only if equality on its columns always finds at most one row', () => {
    // Not: nullable (name), over a prefix (note).
    assert.deepEqual(relation('customers').keys, [['email'], ['id']]);
    assert.deepEqual(relation('orders').keys, [['number', 'customer']]);
    assert.deepEqual(relation('bookings').keys, [['room', 'until', 'since']]);
    assert.deepEqual(relation('parts').keys, [['id']]);
    assert.deepEqual(relation('names').keys, []);
  });

  test('has foreign keys with what they do', () => {
    assert.deepEqual(relation('orders').foreignKeys, [
      {
        columns: ['customer'],
        references: { schema: 'shop', name: 'customers' },
        referencedColumns: ['id'],
        onDelete: 'cascade',
        onUpdate: 'restrict',
      },
    ]);
  });

  test('has definitions of views, on views too, with back-quotes whatever the SQL mode of the server', () => {
    assert.match(
      relation('names').definition!,
      /^select `shop`\.`customers`\.`id` AS `id`,.* from `shop`\.`customers`$/,
    );
    assert.match(relation('labels').definition!, /from `shop`\.`names` where/);
    assert.equal(relation('customers').definition, null);
  });

  test('has triggers with what they run, in the order they fire', () => {
    assert.deepEqual(relation('orders').triggers, [
      { name: 'gone', timing: 'after', events: ['delete'], function: null, body: 'DELETE FROM customers' },
      { name: 'first', timing: 'before', events: ['insert'], function: null, body: 'SET NEW.number = 1' },
      { name: 'second', timing: 'before', events: ['insert'], function: null, body: 'SET NEW.number = 2' },
    ]);
  });

  test('has functions and procedures, also of the same name, with what they declare', () => {
    const common = { schema: 'shop', language: 'sql', calls: [], extension: null } as const;
    assert.deepEqual(Catalogue.of(data).functionsNamed('shop', 'BOTH_names'), [
      {
        ...common,
        name: 'Both_Names',
        kind: 'function',
        arguments: ['int(11)', 'varchar(10)'],
        returns: 'int(11)',
        volatility: 'immutable',
        securityDefiner: true,
        body: 'RETURN x + 1',
      },
      {
        ...common,
        name: 'both_names',
        kind: 'procedure',
        arguments: ['bigint(20)'],
        returns: 'void',
        volatility: 'volatile',
        securityDefiner: false,
        body: 'SET z = 1',
      },
    ]);
    assert.equal(functionsNamed('looks')[0]?.volatility, 'stable');
    assert.equal(functionsNamed('undeclared')[0]?.volatility, 'volatile');
  });

  test('has no text of routines and views that the account may not see', async () => {
    const little = await read(server!, 'little');
    assert.equal(little.functions.find(({ name }) => name === 'undeclared')?.body, null);
    assert.equal(little.relations.find(({ name }) => name === 'names')?.definition, null);
  });

  test('says what the server cannot open', () => {
    assert.deepEqual(data.unseen, [BROKEN]);
    assert.deepEqual(data.relations.find(({ name }) => name === 'broken')?.columns, []);
  });

  test('says where triggers are hidden from the account', async () => {
    const narrow = await read(server!, 'narrow');
    assert.deepEqual(narrow.relations.find(({ name }) => name === 'orders')?.triggers, []);
    assert.deepEqual(narrow.unseen, [
      BROKEN,
      'Triggers of the database shop: the account has no TRIGGER privilege on all of it.',
    ]);
  });

  test('counts what a role gives as seen', async () => {
    const member = await read(server!, 'member');
    assert.deepEqual(member.unseen, [BROKEN]);
    assert.equal(member.relations.find(({ name }) => name === 'orders')?.triggers.length, 3);
  });
});

test('names fold where the server folds them', { skip }, async () => {
  const folding = await startMariadb({ config: { lower_case_table_names: '1' } });
  try {
    await folding!.query('CREATE TABLE Customers (id int)');
    const data = await read(folding!, folding!.superuser);
    assert.equal(data.foldsNames, true);
    assert.equal(Catalogue.of(data).resolve('CUSTOMERS', ['Shop'])?.name, 'customers');
  } finally {
    await folding?.stop();
  }
});

async function connected(server: MysqlFamilyServer, user: string): Promise<mysql.Connection> {
  const { host, port, database } = server;
  const password = user === server.superuser ? server.password : user;
  return mysql.createConnection({ host, port, user, password, database });
}

async function read(server: MysqlFamilyServer, user: string, databases?: readonly string[]): Promise<CatalogueData> {
  const connection = await connected(server, user);
  try {
    return await readMysqlCatalogue(connection, databases);
  } finally {
    await connection.end();
  }
}
