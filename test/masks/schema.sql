-- Values of masked columns have a canary in them that stands nowhere else; see hostile-masks.test.ts.
CREATE TYPE mood AS ENUM ('fine', 'canarymood');
CREATE DOMAIN address_d AS text CHECK (value LIKE '%@%');
CREATE TYPE card_t AS (number text, cvv int);
CREATE TABLE people (
  id int PRIMARY KEY, name text NOT NULL, email text UNIQUE, ssn char(11), salary numeric(10,2), points bigint, age int, born date, seen timestamptz,
  contact address_d, card card_t, tags text[], profile jsonb, mood mood, note text,
  email_low text GENERATED ALWAYS AS (lower(email)) STORED);
INSERT INTO people SELECT i, 'Name ' || i, 'canary' || i || '@secret.example', '900-10-777' || i, 77123.45 + i, 7712377 + i, 40 + i, '1977-07-07', '2011-11-11', 'canary@d', ROW('canary4111', 77123)::card_t,
  ARRAY['canarytag'], '{"card": {"number": "canaryjson"}, "city": "Bonn"}', 'canarymood', 'n' FROM generate_series(1,4) i;
CREATE INDEX people_low ON people (lower(email));
CREATE TABLE orders (id int PRIMARY KEY, person_id int REFERENCES people (id) DEFERRABLE INITIALLY IMMEDIATE, email text REFERENCES people (email) DEFERRABLE INITIALLY DEFERRED, total numeric);
INSERT INTO orders VALUES (1, 1, 'canary1@secret.example', 10), (2, 2, 'canary2@secret.example', 20);
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (5, NULL);
CREATE TABLE scratch (a text, n int);
CREATE VIEW contacts AS SELECT id, email AS address, salary FROM people;
CREATE VIEW contacts2 AS SELECT c.id, upper(c.address) AS loud, c.address AS a2 FROM contacts c;
CREATE VIEW rich AS SELECT id, salary > 77124 AS is_rich FROM people;
CREATE MATERIALIZED VIEW mat AS SELECT id, email AS e FROM people;
CREATE MATERIALIZED VIEW mat2 AS SELECT e AS z FROM mat;
CREATE TABLE log (at date, email text, msg text) PARTITION BY RANGE (at);
CREATE TABLE log_2024 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE log_2025 (msg text, email text, at date NOT NULL);
ALTER TABLE log ATTACH PARTITION log_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO log VALUES ('2024-02-02', 'canarylog@x', 'm'), ('2025-02-02', 'canarylog2@x', 'm');
CREATE TABLE animals (id int, chip text);
CREATE TABLE dogs (owner text) INHERITS (animals);
INSERT INTO dogs VALUES (1, 'canarychip', 'canaryowner');
INSERT INTO animals VALUES (2, 'canarychip2');
CREATE TABLE base_t (id int, val text);
CREATE TABLE kid_t (extra text) INHERITS (base_t);
INSERT INTO kid_t VALUES (1, 'canarykid', 'x');
CREATE FUNCTION email_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM people WHERE id = $1';
CREATE FUNCTION email_im() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT email FROM people WHERE id = 1';
CREATE FUNCTION rows_of() RETURNS TABLE (k int, v text) LANGUAGE sql STABLE AS 'SELECT id, email FROM people';
CREATE FUNCTION set_of() RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people';
CREATE FUNCTION plp(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$ DECLARE r text; BEGIN SELECT email INTO r FROM people WHERE id = i; RETURN r; END $$;
CREATE FUNCTION plset() RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT email FROM people; END $$;
CREATE FUNCTION plnotice() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE '%', (SELECT email FROM people LIMIT 1); RETURN 1; END $$;
CREATE FUNCTION times(n numeric) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS 'SELECT generate_series(1, (n / 1000)::int)';
CREATE FUNCTION fails(n numeric) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 / (n::int - 77124)';
CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t) || ''!''';
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', NEW; PERFORM pg_notify('news', NEW.name); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION trg();
CREATE FUNCTION trgc() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'late %', NEW.email; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER tc AFTER UPDATE ON people DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trgc();
CREATE TABLE ruled (id int);
CREATE RULE r1 AS ON INSERT TO ruled DO ALSO SELECT upper(email) FROM people;
CREATE TABLE ruled2 (id int, t text);
CREATE RULE r2 AS ON INSERT TO ruled2 DO INSTEAD SELECT 1, upper(email) FROM people;
CREATE VIEW vr AS SELECT id, note FROM people;
CREATE RULE vru AS ON UPDATE TO vr DO INSTEAD UPDATE people SET note = NEW.note WHERE id = NEW.id RETURNING id, upper(email);
CREATE TABLE other_schema_dummy (x int);
CREATE SCHEMA s2;
CREATE TABLE s2.people (id int, email text, name text);
INSERT INTO s2.people VALUES (1, 'plain2@x', 'N');
ANALYZE;
