/** A small shop, the same rows every time, with the kinds of values people must not see: all invented. */

import type { Connection } from 'mysql2/promise';
import type { Client } from 'pg';

const SCHEMA = `
CREATE TABLE customers (
  id integer PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL UNIQUE,
  phone text NOT NULL,
  ssn text NOT NULL,
  card_number text NOT NULL,
  city text NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE TABLE orders (
  id integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers,
  status text NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'cancelled')),
  total numeric(10, 2) NOT NULL,
  placed_at timestamptz NOT NULL
);
CREATE INDEX ON orders (customer_id);
CREATE TABLE payments (
  id integer PRIMARY KEY,
  order_id integer NOT NULL REFERENCES orders ON DELETE CASCADE,
  amount numeric(10, 2) NOT NULL,
  method text NOT NULL,
  paid_at timestamptz NOT NULL
);
CREATE TABLE employees (
  id integer PRIMARY KEY,
  name text NOT NULL,
  title text NOT NULL,
  salary integer NOT NULL,
  manager_id integer REFERENCES employees
);
CREATE VIEW customer_totals AS
  SELECT c.id, c.name, count(o.id) AS orders, coalesce(sum(o.total), 0) AS total
  FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
  GROUP BY c.id, c.name;
CREATE FUNCTION unpaid(customer integer) RETURNS numeric LANGUAGE sql STABLE
  RETURN (SELECT coalesce(sum(o.total), 0) FROM orders o WHERE o.customer_id = customer AND o.status = 'open');
`;

const MYSQL_SCHEMA = `
CREATE TABLE customers (
  id INT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  email VARCHAR(80) NOT NULL UNIQUE,
  phone VARCHAR(20) NOT NULL,
  ssn VARCHAR(20) NOT NULL,
  card_number VARCHAR(20) NOT NULL,
  city VARCHAR(40) NOT NULL,
  created_at DATETIME NOT NULL
);
CREATE TABLE orders (
  id INT PRIMARY KEY,
  customer_id INT NOT NULL,
  status ENUM('open', 'paid', 'shipped', 'cancelled') NOT NULL,
  total DECIMAL(10, 2) NOT NULL,
  placed_at DATETIME NOT NULL,
  FOREIGN KEY (customer_id) REFERENCES customers (id)
);
CREATE TABLE payments (
  id INT PRIMARY KEY,
  order_id INT NOT NULL,
  amount DECIMAL(10, 2) NOT NULL,
  method VARCHAR(20) NOT NULL,
  paid_at DATETIME NOT NULL,
  FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
);
CREATE TABLE employees (
  id INT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  title VARCHAR(40) NOT NULL,
  salary INT NOT NULL,
  manager_id INT
)`;

const CUSTOMERS = 120;
const ORDERS = 300;
const EMPLOYEES = 25;

const FIRST = ['Ada', 'Bela', 'Chidi', 'Dana', 'Emre', 'Fatima', 'Grace', 'Hugo', 'Ines', 'Jun', 'Kofi', 'Lena'];
const LAST = ['Okafor', 'Silva', 'Novak', 'Haddad', 'Tanaka', 'Meyer', 'Rossi', 'Larsen', 'Khan', 'Dubois'];
const CITIES = ['Lisbon', 'Leipzig', 'Lagos', 'Lima', 'Lyon', 'Lund'];
const TITLES = ['Engineer', 'Analyst', 'Support', 'Designer', 'Accountant'];

/** Creates the tables and their rows as the user `client` is logged in as, who owns them. */
export async function loadSampleData(client: Client): Promise<void> {
  await client.query(SCHEMA);
  for (const [table, rows] of sampleRows()) await insert(client, table, rows);
}

/** The same tables and rows in a MariaDB or MySQL. */
export async function loadMysqlSampleData(connection: Connection): Promise<void> {
  for (const statement of MYSQL_SCHEMA.split(/;\n/)) await connection.query(statement);
  for (const [table, rows] of sampleRows()) {
    const values = rows.map((row) => Object.values(row).map((value) => (isTime(value) ? value.slice(0, 19) : value)));
    await connection.query(`INSERT INTO ${table} VALUES ?`, [values]);
  }
}

/** As JSON has times; MySQL takes them without fractions and zone. */
function isTime(value: unknown): value is string {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value);
}

/** Rows by table, each table after those it refers to; keys in the order of the columns. */
function sampleRows(): readonly (readonly [table: string, rows: readonly object[]])[] {
  const orders = Array.from({ length: ORDERS }, (_, index) => order(index + 1));
  return [
    ['customers', Array.from({ length: CUSTOMERS }, (_, index) => customer(index + 1))],
    ['orders', orders],
    ['payments', orders.filter(({ status }) => status === 'paid' || status === 'shipped').map(payment)],
    ['employees', Array.from({ length: EMPLOYEES }, (_, index) => employee(index + 1))],
  ];
}

async function insert(client: Client, table: string, rows: readonly object[]): Promise<void> {
  await client.query(`INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`, [
    JSON.stringify(rows),
  ]);
}

function customer(id: number) {
  const name = nameOf(id);
  return {
    id,
    name,
    email: `${name.toLowerCase().replace(' ', '.')}.${id}@example.com`,
    // 555-0100 to 555-0199 are kept for fiction.
    phone: `+1-202-555-01${digits(id % 100, 2)}`,
    // No social security number begins with 9.
    ssn: `9${digits(id % 100, 2)}-${digits((id * 7) % 100, 2)}-${digits(id * 83, 4)}`,
    card_number: cardNumber(id),
    city: CITIES[id % CITIES.length],
    created_at: day(id),
  };
}

function order(id: number) {
  const status = ['open', 'paid', 'shipped', 'shipped', 'cancelled'][(id * 3 + Math.floor(id / 7)) % 5]!;
  const total = ((id * 7919) % 50_000) / 100 + 5;
  return { id, customer_id: ((id * 37) % CUSTOMERS) + 1, status, total: total.toFixed(2), placed_at: day(id + 100) };
}

function payment({ id, total }: { readonly id: number; readonly total: string }) {
  return {
    id: id + 1000,
    order_id: id,
    amount: total,
    method: id % 3 === 0 ? 'transfer' : 'card',
    paid_at: day(id + 101),
  };
}

function employee(id: number) {
  return {
    id,
    name: nameOf(id * 11),
    title: id === 1 ? 'Director' : TITLES[id % TITLES.length],
    salary: id === 1 ? 180_000 : 48_000 + ((id * 1777) % 60) * 1000,
    manager_id: id === 1 ? null : id <= 5 ? 1 : (id % 4) + 2,
  };
}

function nameOf(id: number): string {
  return `${FIRST[id % FIRST.length]} ${LAST[Math.floor(id / FIRST.length) % LAST.length]}`;
}

/** 16 digits in a range for testing, the last a Luhn check digit (ISO/IEC 7812-1), so that detectors take it for a card. */
function cardNumber(id: number): string {
  const body = `424242${digits(id * 104_729, 9)}`;
  let sum = 0;
  [...body].forEach((char, index) => {
    const digit = Number(char) * (index % 2 === 0 ? 2 : 1);
    sum += digit > 9 ? digit - 9 : digit;
  });
  return `${body}${(10 - (sum % 10)) % 10}`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0').slice(-count);
}

function day(number: number): string {
  return new Date(Date.UTC(2025, 0, 1, number % 24, (number * 13) % 60) + number * 86_400_000).toISOString();
}
