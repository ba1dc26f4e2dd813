-- The clinic that test/corpus/postgres.jsonl is about; PostgreSQL 13 to 18, into an empty database, as superuser.
-- Masked: patients(email, ssn, phone), staff(salary, iban), api_keys(secret), reviews(body).

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_user') THEN CREATE ROLE app_user LOGIN; END IF;
END $$;

CREATE SCHEMA billing;

CREATE TABLE wards (id int PRIMARY KEY, name text NOT NULL, beds int NOT NULL DEFAULT 10);
INSERT INTO wards VALUES (1, 'North', 12), (2, 'South', 8), (3, 'Drop-in', 4);

CREATE TABLE patients (
  id       int PRIMARY KEY,
  name     text NOT NULL,
  email    text UNIQUE,
  ssn      text,
  phone    text,
  ward_id  int REFERENCES wards,
  notes    text,
  born     date NOT NULL
);
INSERT INTO patients VALUES
 (1, 'Ida', 'ida@clinic.test', '910-01-0001', '+1-202-555-0101', 1, 'allergic to nuts', '1980-01-01'),
 (2, 'Jon', 'jon@clinic.test', '910-01-0002', '+1-202-555-0102', 1, NULL, '1990-02-02'),
 (3, 'Kim', 'kim@clinic.test', '910-01-0003', '+1-202-555-0103', 2, 'update weekly', '2000-03-03');

CREATE TABLE visits (
  id         int PRIMARY KEY,
  patient_id int NOT NULL REFERENCES patients ON DELETE CASCADE,
  at         timestamptz NOT NULL,
  status     text NOT NULL DEFAULT 'planned',
  cost       numeric(10, 2) NOT NULL DEFAULT 0,
  comment    text,
  "delete"   boolean NOT NULL DEFAULT false
);
INSERT INTO visits SELECT g, 1 + g % 3, '2026-01-01 10:00+00'::timestamptz + g * interval '1 day',
  (ARRAY['planned', 'done', 'missed'])[1 + g % 3], g * 10, 'visit ' || g FROM generate_series(1, 12) g;

CREATE TABLE visit_items (visit_id int, line int, code text NOT NULL, amount int NOT NULL DEFAULT 1, PRIMARY KEY (visit_id, line));
INSERT INTO visit_items SELECT g, l, 'C' || l, l FROM generate_series(1, 12) g, generate_series(1, 2) l;

CREATE TABLE staff (id int PRIMARY KEY, name text NOT NULL, role text NOT NULL, salary numeric, iban text, boss_id int REFERENCES staff);
INSERT INTO staff VALUES (1, 'Lea', 'head', 9100001, 'DE91000000000000000001', NULL), (2, 'Max', 'nurse', 9100002, 'DE91000000000000000002', 1);

CREATE TABLE api_keys (id int PRIMARY KEY, label text, secret text NOT NULL);
INSERT INTO api_keys VALUES (1, 'lab', 'key-91-aaaa'), (2, 'x-ray', 'key-91-bbbb');

CREATE TABLE settings (key text PRIMARY KEY, value text);
INSERT INTO settings VALUES ('colour', 'blue'), ('truncate_names', 'no');

CREATE TABLE log (id serial PRIMARY KEY, line text, at timestamptz DEFAULT now());
CREATE TABLE queue (id int PRIMARY KEY, command text);

CREATE TABLE readings (id int NOT NULL, patient_id int NOT NULL, taken date NOT NULL, value numeric, PRIMARY KEY (id, taken)) PARTITION BY RANGE (taken);
CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE readings_rest PARTITION OF readings DEFAULT;
INSERT INTO readings VALUES (1, 1, '2026-02-01', 37.2), (2, 2, '2031-02-01', 38.1);

CREATE TABLE billing.patients (id int PRIMARY KEY, remark text);
INSERT INTO billing.patients VALUES (1, 'pays in cash');

CREATE VIEW contacts AS SELECT id, name, email AS address, phone AS call FROM patients;
CREATE VIEW directory AS SELECT p.id, p.name, w.name AS ward FROM patients p JOIN wards w ON w.id = p.ward_id;
CREATE VIEW whole AS SELECT id, to_jsonb(p) AS doc FROM patients p;
CREATE VIEW ward_load AS SELECT ward_id, count(*) AS patients FROM patients GROUP BY ward_id;

CREATE FUNCTION discharge(p int) RETURNS int LANGUAGE sql AS $$ DELETE FROM patients WHERE id = p; SELECT p $$;
CREATE FUNCTION ssn_of(p int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM patients WHERE id = p $$;
CREATE FUNCTION run(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$;
CREATE FUNCTION with_tax(x numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT x * 1.2 $$;
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM visits; END $$;
CREATE FUNCTION wipe(p int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN DELETE FROM visits WHERE patient_id = p; RETURN true; END $$;
CREATE OPERATOR @@@ (RIGHTARG = int, FUNCTION = wipe);

CREATE FUNCTION run_command() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE NEW.command; RETURN NEW; END $$;
CREATE TRIGGER queue_runs BEFORE INSERT ON queue FOR EACH ROW EXECUTE FUNCTION run_command();
CREATE VIEW bin AS SELECT id FROM visits WHERE false;
CREATE FUNCTION empty_bin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM visits; RETURN NEW; END $$;
CREATE TRIGGER bin_in INSTEAD OF INSERT ON bin FOR EACH ROW EXECUTE FUNCTION empty_bin();

CREATE SEQUENCE invoice_no START 100;
SELECT lo_from_bytea(7171, 'secret 910-01-0001');
ANALYZE;
GRANT USAGE ON SCHEMA public, billing TO app_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, billing TO app_user;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_user;
