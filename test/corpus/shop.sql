-- The shop that test/corpus/shop.jsonl is about; PostgreSQL 13 to 18, into an empty database, as superuser.
-- Masked: customers(email, ssn, credit_card, phone, profile) and what inherits from it, employees(salary, ssn, iban),
-- api_keys(secret), payments(card_number, cvv), audit_log(row_data), hr.reviews(body).

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_user') THEN CREATE ROLE app_user LOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner') THEN CREATE ROLE app_owner NOLOGIN; END IF;
END $$;

CREATE SCHEMA hr;
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'cancelled');
CREATE DOMAIN safe_text AS text;

CREATE TABLE customers (
  id bigint PRIMARY KEY, name text NOT NULL, email text UNIQUE, ssn text, credit_card text, phone text,
  country text NOT NULL DEFAULT 'FI', tier text NOT NULL DEFAULT 'free', notes text, profile jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT '2025-01-01');
CREATE INDEX ON customers (lower(email));
CREATE INDEX customers_ssn_idx ON customers (ssn);
INSERT INTO customers SELECT g, 'Customer ' || g, 'c' || g || '@masked.test', '800-00-000' || g, '40000000000000' || g, '+358-800-000' || g,
  (ARRAY['FI', 'SE', 'NO'])[1 + g % 3], (ARRAY['free', 'gold'])[1 + g % 2], 'note ' || g, jsonb_build_object('ssn', '800-00-000' || g, 'tags', '[]'::jsonb)
FROM generate_series(1, 5) g;
CREATE TABLE customers_archive (archived_at date) INHERITS (customers);
INSERT INTO customers_archive (id, name, email, ssn, archived_at) VALUES (101, 'Gone', 'gone@masked.test', '800-00-0101', '2020-01-01');

CREATE TABLE orders (
  id bigint PRIMARY KEY, customer_id bigint REFERENCES customers ON DELETE CASCADE, total numeric(12, 2) NOT NULL,
  status order_status NOT NULL DEFAULT 'new', comment text, "delete" boolean NOT NULL DEFAULT false, "drop" integer,
  placed_at timestamptz NOT NULL DEFAULT '2025-02-01');
INSERT INTO orders (id, customer_id, total, status, comment, "drop")
SELECT g, 1 + g % 5, g * 10, (ARRAY['new', 'paid', 'shipped'])[1 + g % 3]::order_status, 'order ' || g, g FROM generate_series(1, 20) g;
CREATE TABLE order_items (order_id bigint REFERENCES orders ON DELETE CASCADE, line int, sku text, qty int, price numeric, PRIMARY KEY (order_id, line));
INSERT INTO order_items SELECT g, l, 'sku-' || l, l, 5 FROM generate_series(1, 20) g, generate_series(1, 2) l;

CREATE TABLE employees (id bigint PRIMARY KEY, name text NOT NULL, manager_id bigint REFERENCES employees, dept text NOT NULL, salary numeric(12, 2) NOT NULL, ssn text, iban text);
INSERT INTO employees VALUES (1, 'Ann', NULL, 'eng', 7654321.10, '801-00-0001', 'FI8000000000000001'), (2, 'Ben', 1, 'ops', 7654322.20, '801-00-0002', 'FI8000000000000002');
CREATE TABLE api_keys (id bigint PRIMARY KEY, owner_id bigint REFERENCES employees, label text, secret text NOT NULL, revoked boolean NOT NULL DEFAULT false);
INSERT INTO api_keys VALUES (1, 1, 'ci', 'secret-masked-1'), (2, 2, 'live', 'secret-masked-2');
CREATE TABLE hr.reviews (id bigint PRIMARY KEY, employee_id bigint, body text);
INSERT INTO hr.reviews VALUES (1, 1, 'masked review of Ann');
CREATE TABLE hr.customers (id bigint, remark text);
INSERT INTO hr.customers VALUES (1, 'another table of this name');
CREATE TABLE payments (id bigint NOT NULL, customer_id bigint, card_number text, cvv text, amount numeric, paid_on date NOT NULL) PARTITION BY RANGE (paid_on);
CREATE TABLE payments_2024 PARTITION OF payments FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE payments_default PARTITION OF payments DEFAULT;
INSERT INTO payments VALUES (1, 1, '5100000000000001', 'cv-1', 10, '2024-03-01'), (2, 2, '5100000000000002', 'cv-2', 20, '2030-03-01');
CREATE TABLE audit_log (id bigserial PRIMARY KEY, tbl text, op text, row_data jsonb, at timestamptz DEFAULT now());
INSERT INTO audit_log (tbl, op, row_data) VALUES ('customers', 'UPDATE', '{"ssn": "800-00-0001"}');
CREATE TABLE jobs (id bigserial PRIMARY KEY, cmd text, state text NOT NULL DEFAULT 'queued');
CREATE TABLE scratch (a text, b text, n int);
CREATE TABLE settings (key text PRIMARY KEY, value text);
INSERT INTO settings VALUES ('theme', 'dark'), ('drop_shadow', 'on');
CREATE TABLE touch (n int);

CREATE VIEW v_customers AS SELECT id, name, email AS contact, ssn AS tax_id FROM customers;
CREATE VIEW v_directory AS SELECT id, name, country, tier FROM customers;
CREATE VIEW v_nested AS SELECT id, tax_id AS ref FROM v_customers;
CREATE VIEW v_customer_json AS SELECT id, to_jsonb(c) AS doc FROM customers c;
CREATE VIEW v_pay AS SELECT name, salary * 12 AS yearly FROM employees;
CREATE VIEW v_order_totals AS SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id;
CREATE VIEW v_trash AS SELECT id FROM customers WHERE false;
CREATE MATERIALIZED VIEW mv_pii AS SELECT id, ssn || '/' || phone AS pii FROM customers;

CREATE FUNCTION purge_customer(c bigint) RETURNS bigint LANGUAGE sql AS $$ DELETE FROM customers WHERE id = c RETURNING id $$;
CREATE FUNCTION purge_op(c bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN DELETE FROM customers WHERE id = c; RETURN found; END $$;
CREATE OPERATOR !!! (RIGHTARG = bigint, FUNCTION = purge_op);
CREATE FUNCTION get_ssn(c bigint) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM customers WHERE id = c $$;
CREATE FUNCTION list_customers() RETURNS SETOF customers LANGUAGE sql STABLE BEGIN ATOMIC SELECT * FROM customers; END;
CREATE FUNCTION customer_pairs() RETURNS TABLE (k bigint, v text) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT c.id, c.credit_card FROM customers c; END $$;
CREATE FUNCTION run_sql(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END $$;
CREATE FUNCTION shout(c bigint) RETURNS int LANGUAGE plpgsql AS $$ DECLARE s text; BEGIN SELECT ssn INTO s FROM customers WHERE id = c; RAISE NOTICE '%', s; RETURN 1; END $$;
CREATE FUNCTION tax_label(c customers) RETURNS text LANGUAGE sql STABLE AS $$ SELECT c.ssn $$;
CREATE FUNCTION add_vat(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT x * 1.25 $$;
CREATE AGGREGATE leak_agg (text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE PROCEDURE archive_orders(before bigint) LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders WHERE id < before; END $$;

CREATE FUNCTION trg_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit_log (tbl, op, row_data) VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD)); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER customers_audit BEFORE UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION trg_audit();
CREATE FUNCTION trg_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE NEW.cmd; RETURN NEW; END $$;
CREATE TRIGGER jobs_run BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION trg_job();
CREATE FUNCTION trg_trash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM customers; RETURN NEW; END $$;
CREATE TRIGGER trash_ins INSTEAD OF INSERT ON v_trash FOR EACH ROW EXECUTE FUNCTION trg_trash();
CREATE RULE touch_rule AS ON INSERT TO touch DO ALSO DELETE FROM api_keys;

-- Code that runs when a row is written, or read.
CREATE TABLE traps (id int PRIMARY KEY, note text, size numeric CHECK (size > 0));
CREATE TABLE trap_default (id int DEFAULT purge_customer(1), note text);
CREATE TABLE trap_check (id int, note text CHECK (run_sql(note) IS NOT NULL));
CREATE TABLE trap_copy (id int, note text DEFAULT get_ssn(1));
CREATE TABLE trap_policy (id int, note text);
ALTER TABLE trap_policy ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON trap_policy USING (purge_op(id));

SELECT lo_from_bytea(424242, 'masked large object 800-00-0001');
CREATE SEQUENCE invoice_seq START 1000;
SELECT nextval('invoice_seq');
ANALYZE;
GRANT USAGE ON SCHEMA public, hr TO app_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, hr TO app_user;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_user;
