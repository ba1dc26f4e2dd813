-- Statements against test/masks/schema.sql, one on each line; see test/hostile-masks.test.ts.

-- passes: what an agent may do
SELECT id, email FROM people WHERE id = 1
SELECT id FROM people WHERE email = 'x'
SELECT id FROM people WHERE email IN ('x', 'y') AND id = 1
SELECT id FROM people WHERE ssn = '900'
SELECT o.id FROM orders o JOIN people p ON p.id = o.person_id
SELECT o.id, p.email FROM orders o JOIN people p ON p.email = o.email
SELECT o.id, p.email FROM orders o JOIN people p USING (email)
SELECT o.id, p.email FROM orders o, people p WHERE p.email = o.email AND o.total > 5
SELECT o.id, p.email FROM orders o LEFT JOIN people p ON p.email = o.email AND p.id > 0
SELECT upper(email), left(email, 3), substring(email from 2 for 3), split_part(email, '@', 2), length(email), md5(email), email || 'x' FROM people
SELECT round(salary), to_char(salary, '999'), salary * 1.1, salary + 1, salary / 12, avg(salary) OVER () FROM people
SELECT date_trunc('month', born), extract(year from born), to_char(born, 'YYYY'), age(born) FROM people
SELECT profile->>'city', profile->'card'->>'number', profile #>> '{card,number}' FROM people
SELECT sum(salary), avg(salary), min(salary), max(salary), count(salary) FROM people
SELECT string_agg(email, ','), array_agg(email), json_agg(email), jsonb_agg(email) FROM people
SELECT name, email FROM people ORDER BY name LIMIT 2
SELECT p.*, o.total FROM people p LEFT JOIN orders o ON o.person_id = p.id ORDER BY o.total
SELECT count(*) FROM people
SELECT count(email) FROM people
SELECT email IS NULL, email IS NOT NULL, email = 'x' FROM people
SELECT coalesce(email, 'none') FROM people
SELECT email_of(1)
SELECT shout(name) FROM people
SELECT row_to_json(p) FROM people p
SELECT json_build_object('id', id, 'email', email) FROM people
INSERT INTO people (id, name, email) VALUES (60, 'n', 'new@x') RETURNING id, email
UPDATE people SET email = 'newer@x' WHERE id = 60
UPDATE people SET email = lower(email) WHERE id = 60
UPDATE people SET salary = salary * 1.05 WHERE id = 60
DELETE FROM people WHERE id = 60
SELECT * FROM notes
SELECT * FROM notes JOIN people USING (id)
SELECT DISTINCT name FROM people
SELECT name, count(*) FROM people GROUP BY name
SELECT id, email FROM people UNION ALL SELECT id, body FROM notes
EXPLAIN SELECT * FROM people
EXPLAIN SELECT * FROM people WHERE id = 1
CREATE TABLE fresh (id int, t text)
ALTER TABLE fresh ADD COLUMN u int
CREATE INDEX ON fresh (t)
DROP TABLE fresh
SELECT * FROM s2.people WHERE name LIKE 'N%'
SELECT email FROM s2.people ORDER BY email
SELECT relname FROM pg_class LIMIT 1
SELECT pid, state FROM pg_stat_activity
SELECT datname FROM pg_database
SELECT column_name FROM information_schema.columns LIMIT 1
SELECT current_user, version(), now()
SHOW server_version
BEGIN; SELECT email FROM people; COMMIT
COPY people TO STDOUT
COPY people (id, email) TO STDOUT CSV HEADER
SELECT * FROM contacts WHERE id = 1
SELECT address FROM contacts WHERE address = 'x'
SELECT id, row_number() OVER (ORDER BY id), lag(email) OVER (ORDER BY id) FROM people
WITH p AS (SELECT id, email FROM people) SELECT * FROM p JOIN orders o ON o.person_id = p.id
SELECT email::text, email::varchar(10) FROM people
SELECT (SELECT email FROM people WHERE id = o.person_id) FROM orders o
SELECT a.id, b.id FROM people a JOIN people b ON a.email = b.email
SELECT coalesce(email, name, 'x'), concat(name, ' <', email, '>') FROM people
SELECT coalesce(substring(email, 1, 3), name) FROM people
SELECT id = 1 OR email IS NULL FROM people
CREATE FUNCTION plus(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1'
CREATE FUNCTION plus2(a int, OUT b int) LANGUAGE plpgsql AS $$ BEGIN b := a + 1; END $$
BEGIN; SELECT email FROM people WHERE id = 1; ROLLBACK
BEGIN; UPDATE notes SET body = 'x' WHERE id = 1; SELECT email FROM people; COMMIT
SET search_path = public, s2
SELECT email FROM people
SET search_path = public
ALTER TABLE people ADD COLUMN extra text
CREATE INDEX ON people (name)
ALTER TABLE people DROP COLUMN extra
SELECT id, name FROM people p TABLESAMPLE SYSTEM (100)
SELECT email FROM people ORDER BY id DESC FETCH FIRST 2 ROWS ONLY
UPDATE people SET age = age + 1 WHERE id = 1 RETURNING id, age
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n, p.email FROM t JOIN people p ON p.id = t.n
SELECT p.name, count(o.id), p.email FROM people p LEFT JOIN orders o ON o.person_id = p.id GROUP BY p.id
REFRESH MATERIALIZED VIEW mat
ANALYZE people

-- shows nothing: whether it is masked or refused, no byte of a masked value comes
SELECT email_low FROM people
SELECT * FROM people
SELECT p FROM people p
SELECT p::text FROM people p
SELECT to_json(p), to_jsonb(p), row_to_json(p) FROM people p
SELECT hstore(p) FROM people p
SELECT array_agg(p) FROM people p
SELECT array_agg(email), string_agg(email, ','), min(email), max(salary), sum(salary), json_agg(p), jsonb_object_agg(id, email) FROM people p
SELECT (p).email, p.email, email(p), (p.*)::text FROM people p
SELECT (SELECT q FROM people q LIMIT 1)
SELECT ((SELECT q FROM people q LIMIT 1)).email
SELECT (x).* FROM (SELECT p AS x FROM people p) s
SELECT (x).email FROM (SELECT p AS x FROM people p) s
SELECT ROW(p.*), ROW(email, id) FROM people p
SELECT l.* FROM people p, LATERAL (SELECT p.email, p.id) l
SELECT l FROM people p, LATERAL (SELECT p.email || 'x') l
WITH RECURSIVE r AS (SELECT id, email FROM people WHERE id = 1 UNION ALL SELECT id + 1, email FROM r WHERE id < 4) SELECT * FROM r
WITH RECURSIVE r(a, b) AS (SELECT 1, ''::text UNION ALL SELECT a + 1, (SELECT email FROM people WHERE id = a) FROM r WHERE a < 4) SELECT * FROM r
SELECT name FROM people UNION ALL SELECT email FROM people
SELECT name, note FROM people UNION ALL SELECT note, email FROM people
SELECT 'x' UNION ALL SELECT email FROM people
VALUES ((SELECT email FROM people WHERE id = 1)), ('x')
SELECT * FROM contacts
SELECT * FROM contacts2
SELECT * FROM mat
SELECT * FROM mat2
SELECT * FROM log
SELECT * FROM log_2024
SELECT * FROM log_2025
SELECT * FROM ONLY log_2025
SELECT * FROM animals
SELECT * FROM dogs
SELECT * FROM base_t
SELECT * FROM kid_t
SELECT val FROM base_t
SELECT email_of(1)
SELECT email_im()
SELECT * FROM email_of(1)
SELECT * FROM rows_of()
SELECT v FROM rows_of()
SELECT * FROM set_of()
SELECT (set_of()).*
SELECT (set_of()).email
SELECT set_of()
SELECT email FROM set_of()
SELECT plp(1)
SELECT * FROM plset()
SELECT plset()
SELECT plnotice()
SELECT shout(email) FROM people
EXPLAIN VERBOSE SELECT email_im()
EXPLAIN (VERBOSE, FORMAT JSON) SELECT email_im() || 'x'
EXPLAIN SELECT * FROM notes WHERE body = email_im()
EXPLAIN ANALYZE VERBOSE SELECT * FROM notes WHERE body = email_im()
EXPLAIN VERBOSE SELECT * FROM people WHERE email = 'zz'
UPDATE people SET note = 'z' WHERE id = 1
UPDATE people SET note = 'z' WHERE id = 1 RETURNING *
INSERT INTO ruled VALUES (1)
INSERT INTO ruled2 VALUES (1, 'x')
UPDATE vr SET note = 'y' WHERE id = 1 RETURNING *
UPDATE vr SET note = 'y' WHERE id = 1 RETURNING id, note
DELETE FROM people WHERE id = 4 RETURNING *
DELETE FROM people WHERE id = 2
BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM people WHERE id = 3; DELETE FROM people WHERE id = 2; COMMIT
INSERT INTO people (id, name, email) VALUES (1, 'x', 'y') RETURNING *
INSERT INTO people (id, name, contact) VALUES (99, 'x', 'nope') RETURNING *
UPDATE people SET name = NULL WHERE id = 1
INSERT INTO people (id, name, email) VALUES (50, 'x', 'y@z') ON CONFLICT (id) DO UPDATE SET name = people.name RETURNING *, people.email
UPDATE people SET name = email WHERE id = 1 RETURNING name
SELECT card FROM people
SELECT (card).number FROM people
SELECT (card).* FROM people
SELECT tags[1], tags[1:2], unnest(tags) FROM people
SELECT profile, profile->'card', profile->>'card', profile#>>'{card,number}' FROM people
SELECT jsonb_each_text(profile->'card') FROM people
SELECT x.* FROM people, jsonb_each_text(profile->'card') x
SELECT x.* FROM people, jsonb_to_record(profile) x(card jsonb, city text)
SELECT * FROM people, jsonb_populate_record(null::people, to_jsonb(people)) x
SELECT xmlelement(name a, email) FROM people
SELECT xmlforest(email, ssn) FROM people
SELECT * FROM people, XMLTABLE('/a' PASSING xmlelement(name a, email) COLUMNS x text PATH '.') x
COPY people TO STDOUT
COPY people TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)
COPY people TO STDOUT (FORMAT binary)
COPY (SELECT * FROM people) TO STDOUT (FORMAT csv, QUOTE 'q', ESCAPE 'e', DELIMITER ';')
COPY (SELECT email, note FROM people) TO STDOUT (NULL 'canary1@secret.example')
COPY (SELECT email, note FROM people) TO STDOUT (FORMAT csv, NULL 'n')
COPY (SELECT p FROM people p) TO STDOUT
COPY (SELECT array_agg(email) FROM people p) TO STDOUT CSV
COPY (UPDATE people SET note = 'x' WHERE id = 1 RETURNING *) TO STDOUT
COPY people (email_low) TO STDOUT
COPY log TO STDOUT
COPY (SELECT * FROM log) TO STDOUT
COPY mat TO STDOUT
COPY (SELECT * FROM set_of()) TO STDOUT
COPY people TO STDOUT (ENCODING 'LATIN1')
BEGIN; DECLARE c SCROLL CURSOR FOR SELECT email, id FROM people; FETCH ALL FROM c; FETCH BACKWARD 2 FROM c; FETCH PRIOR FROM c; FETCH ABSOLUTE 1 FROM c; COMMIT
BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT upper(email) FROM people; COMMIT; FETCH 2 FROM h; CLOSE h
BEGIN; DECLARE b BINARY CURSOR FOR SELECT email, id FROM people; FETCH ALL FROM b
BEGIN; DECLARE d CURSOR FOR SELECT email FROM people; SAVEPOINT s; 
BEGIN; DECLARE z CURSOR FOR SELECT id FROM people; CLOSE z; DECLARE z CURSOR FOR SELECT email FROM people; FETCH 1 FROM z
PREPARE ps AS SELECT email FROM people; EXECUTE ps; DEALLOCATE ps
EXPLAIN ANALYZE EXECUTE nope
CREATE TABLE ctas AS EXECUTE nope
SELECT email::int FROM people
SELECT email::inet FROM people
SELECT CAST(email AS date) FROM people
SELECT 'a' || email FROM people ORDER BY id
SELECT count(email), count(*) FROM people
SELECT email INTO TEMP leaked FROM people
CREATE TEMP TABLE leaked AS SELECT upper(email) e FROM people
CREATE VIEW leakview AS SELECT email FROM people
TABLE people
SELECT people FROM people
SELECT people.* FROM people NATURAL JOIN notes
SELECT * FROM notes NATURAL JOIN people
SELECT * FROM notes JOIN people USING (id) 
SELECT j.* FROM (notes JOIN people USING (id)) AS j
SELECT j FROM (notes JOIN people USING (id)) AS j
SELECT u.* FROM (people a JOIN notes b USING (id) AS u)
SELECT most_common_vals FROM pg_stats WHERE tablename = 'people'
SELECT * FROM pg_statistic
SELECT stavalues1 FROM pg_catalog.pg_statistic
SELECT query_to_xml('select email from people', true, true, '')
SELECT table_to_xml('people', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT ts_stat('select to_tsvector(email) from people')
SELECT pg_notify('news', email) FROM people
SELECT set_config('application_name', email, false) FROM people
SELECT format('%s', email), concat(email, 1), left(email, 3), md5(email), encode(email::bytea, 'hex') FROM people
SELECT CASE WHEN true THEN email ELSE name END FROM people
SELECT coalesce(email, name), nullif(email, 'x'), greatest(email, name) FROM people
SELECT lag(email) OVER (ORDER BY id), first_value(email) OVER (ORDER BY id) FROM people
SELECT (array_agg(email ORDER BY id))[1] FROM people
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY salary) FROM people
SELECT mode() WITHIN GROUP (ORDER BY email) FROM people
SELECT * FROM (VALUES ((SELECT email FROM people WHERE id = 1))) v(x)
SELECT (VALUES ((SELECT email FROM people WHERE id = 1)))
SELECT ARRAY(SELECT email FROM people)
SELECT EXISTS (SELECT email FROM people)
DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM people LIMIT 1); END $$
SELECT * FROM ROWS FROM (rows_of(), generate_series(1,2)) x
SELECT * FROM ROWS FROM (generate_series(1,2), rows_of()) WITH ORDINALITY x(a, b, c, d)
SELECT x.c FROM ROWS FROM (generate_series(1,2), rows_of()) WITH ORDINALITY x(a, b, c, d)
MERGE INTO scratch USING people ON scratch.n = people.id WHEN NOT MATCHED THEN INSERT VALUES (people.email, 1)
SELECT pg_column_size(email), octet_length(email), length(email) FROM people
SELECT email COLLATE "C" FROM people
SELECT email AS id, id AS email FROM people
SELECT a.b FROM (SELECT email FROM people) AS a(b)
WITH x(y) AS (SELECT email FROM people) SELECT y FROM x
WITH d AS (DELETE FROM scratch RETURNING a) SELECT email FROM people, d
WITH u AS (UPDATE people SET note = 'k' WHERE id = 1 RETURNING email, *) SELECT * FROM u
SELECT old.email, new.email FROM people
SELECT jsonb_path_query(profile, '$.card.number') FROM people
SELECT jsonb_path_query(profile, '$.**') FROM people
SELECT profile - 'city' FROM people
SELECT profile || '{}' FROM people
SELECT jsonb_pretty(profile) FROM people
SELECT jsonb_set(profile, '{x}', '1') FROM people
SELECT row_number() OVER (), p.* FROM people p
SELECT query FROM pg_stat_activity
SELECT * FROM pg_cursors
SELECT statement FROM pg_prepared_statements
SELECT shout(email) FROM people
CREATE RULE rr AS ON INSERT TO scratch DO ALSO SELECT email FROM people
CREATE TRIGGER tt BEFORE INSERT ON scratch FOR EACH ROW EXECUTE FUNCTION trg()
ALTER TABLE people ADD COLUMN x text GENERATED ALWAYS AS (email) STORED
COPY (SELECT email, note FROM people) TO STDOUT (NULL 'canary1@secret.example')
SELECT * FROM people p TABLESAMPLE SYSTEM (100)
SELECT u FROM unnest((SELECT array_agg(email) FROM people)) u
SELECT * FROM json_to_recordset((SELECT json_agg(people) FROM people)) x(email text)
WITH t AS MATERIALIZED (TABLE people) SELECT t FROM t
SELECT (ARRAY(SELECT people FROM people))[1]
SELECT ((ARRAY(SELECT p FROM people p))[1]).email
SELECT (x).email FROM (SELECT (ARRAY(SELECT p FROM people p))[1]) s(x)
SELECT x FROM (SELECT (ARRAY(SELECT p FROM people p))[1]) s(x)
SELECT jsonb_path_query_array(to_jsonb(p), '$.*') FROM people p
SELECT * FROM people WHERE id=1 FOR UPDATE
MERGE INTO people t USING notes n ON t.id=n.id WHEN MATCHED THEN UPDATE SET note='m' RETURNING *
MERGE INTO people t USING notes n ON t.id=n.id WHEN MATCHED THEN UPDATE SET note='m' RETURNING upper(t.email), n.body
INSERT INTO notes SELECT id+1000, note FROM people RETURNING body
UPDATE notes SET body = p.email FROM people p WHERE p.id = notes.id RETURNING body
SELECT concat(VARIADIC ARRAY[email, name]) FROM people
SELECT max(email) FILTER (WHERE id > 1) OVER () FROM people
SELECT * FROM people NATURAL FULL JOIN contacts
SELECT coalesce(a.email, b.email) FROM people a FULL JOIN people b USING (id)
SELECT email FROM people a FULL JOIN people b USING (email, id)
SELECT (SELECT p.email FROM (SELECT people.email) p) FROM people
SELECT s.* FROM people p CROSS JOIN LATERAL (VALUES (p.email), (p.name)) s(v)
SELECT array_to_string(array(select email from people), ',')
SELECT p.tags || ARRAY['x'] FROM people p
SELECT 'x'::text || (p.card).number FROM people p
UPDATE people SET note = 'k' WHERE id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.email, n.email, o.*
UPDATE people SET note = 'k' WHERE id = 1 RETURNING old, new
UPDATE people SET note = 'k' WHERE id = 1 RETURNING upper(old.email), to_json(new)
DELETE FROM notes USING people WHERE notes.id = people.id RETURNING people.email, notes.*
SELECT JSON_ARRAYAGG(email) FROM people
SELECT JSON_OBJECT('a': email) FROM people
SELECT JSON_SERIALIZE(JSON_SCALAR(email)) FROM people
SELECT * FROM people, JSON_TABLE(profile, '$' COLUMNS (n text PATH '$.card.number')) jt
SELECT ROW(email).f1 FROM people
SELECT (ROW(email, 1)).f1 FROM people
SELECT (json_populate_record(NULL::people, to_json(people))).email FROM people
SELECT r.email FROM people p, LATERAL json_populate_record(NULL::people, to_json(p)) r
SELECT r.x FROM people p, LATERAL ROWS FROM (upper(p.email)) AS r(x)
SELECT upper FROM people p, upper(p.email)
SELECT email FROM (people) 
SELECT p.email FROM (people p JOIN notes n ON p.id = n.id)
SELECT q.email FROM (people p JOIN notes n ON p.id = n.id) q
SELECT "email" FROM "people"
SELECT PEOPLE.EMAIL FROM PEOPLE
SELECT shop.public.people.email FROM shop.public.people
SELECT email FROM ONLY (people)
WITH RECURSIVE t(a) AS (VALUES ('x'::text) UNION ALL (SELECT email FROM people LIMIT 2)) SELECT * FROM t
WITH a AS (SELECT email e FROM people), b AS (SELECT e x FROM a UNION ALL SELECT note FROM people) SELECT x FROM b
SELECT * FROM (SELECT id, email FROM people ORDER BY id LIMIT 1) s
SELECT xmlagg(xmlelement(name x, email)) FROM people
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT lo_from_bytea(0, email::bytea) FROM people
SELECT format('%1$s', p) FROM people p
SELECT CASE WHEN id = 1 THEN email END FROM people
SELECT CASE id WHEN 1 THEN salary ELSE 0 END FROM people
SELECT tableoid::regclass, ctid, email FROM people
SELECT email FROM people GROUP BY email
SELECT array_agg(DISTINCT email) FROM people
SELECT string_agg(email, ',' ORDER BY id) FROM people
SELECT lead(email, 1, 'none') OVER (PARTITION BY name ORDER BY id) FROM people
CREATE TEMP VIEW tv AS SELECT email AS e2 FROM people
CREATE MATERIALIZED VIEW mv AS SELECT email AS e2 FROM people
REFRESH MATERIALIZED VIEW mat
ANALYZE VERBOSE people

-- shows nothing: in one session, one after the other
SET search_path = s2
SET search_path = public; SELECT upper(email) FROM people
SET search_path = s2
BEGIN; SET LOCAL search_path = public; SELECT upper(email) FROM people
SELECT set_config('search_path', 'public', false); SELECT upper(email) FROM people
SET search_path = s2
PREPARE pq AS SELECT upper(email) FROM people
SET search_path = public; EXECUTE pq
SET search_path = public
PREPARE pp(text) AS SELECT $1; EXECUTE pp(email_of(1))
EXECUTE pp(email_of(1))
SELECT email_im()::int
BEGIN; CREATE OR REPLACE FUNCTION shout(t text) RETURNS text LANGUAGE sql AS 'SELECT email FROM people LIMIT 1'; SELECT shout('x')
BEGIN
CREATE OR REPLACE FUNCTION shout(t text) RETURNS text LANGUAGE sql AS 'SELECT email FROM people LIMIT 1'
SELECT shout('x')
ROLLBACK
PREPARE pz AS SELECT email FROM people

-- refused: it would tell of masked values without showing them
SELECT id FROM people WHERE email LIKE 'c%'
SELECT id FROM people WHERE salary > 77124
SELECT id FROM people ORDER BY salary
SELECT id, email FROM people ORDER BY 2
SELECT id, email AS q FROM people ORDER BY q
SELECT id FROM people ORDER BY (SELECT email FROM people q WHERE q.id = people.id)
SELECT count(*) FROM people GROUP BY ssn
SELECT ssn, count(*) FROM people GROUP BY 1
SELECT DISTINCT ssn FROM people
SELECT DISTINCT ON (ssn) id FROM people
SELECT id FROM people LIMIT (SELECT length(email) FROM people WHERE id = 1)
SELECT id FROM people OFFSET (SELECT length(email) - 20 FROM people WHERE id = 1)
SELECT rank() OVER (ORDER BY salary), id FROM people
SELECT rank() OVER w, id FROM people WINDOW w AS (ORDER BY salary)
SELECT id FROM notes WHERE EXISTS (SELECT 1 FROM people WHERE salary > 77124)
SELECT id, 1/(CASE WHEN email LIKE 'c%' THEN 0 ELSE 1 END) FROM people
SELECT 1/(length(email) - 22) FROM people
SELECT sqrt(salary - 77124) FROM people
SELECT ln(salary - 77124) FROM people
SELECT points + 9223372036847063428 FROM people
SELECT points * 1000000000000 FROM people
SELECT substring(email FROM 1 FOR (salary - 77124)::int) FROM people
SELECT chr((salary - 77124)::int) FROM people
SELECT email::int FROM people
SELECT generate_series(1, length(email)) FROM people
SELECT g FROM people, generate_series(1, length(email)) g
SELECT regexp_matches(email, 'a', 'g') FROM people
SELECT regexp_split_to_table(email, '') FROM people
SELECT unnest(string_to_array(email, NULL)) IS NULL FROM people
SELECT jsonb_path_query(profile, 'strict $.card.number ? (@ like_regex "^c")') FROM people
SELECT times(salary) FROM people
SELECT fails(salary) FROM people
SELECT id FROM rich WHERE is_rich
SELECT id FROM contacts WHERE address > 'c'
SELECT id FROM contacts2 WHERE loud LIKE 'C%'
SELECT a.id FROM people a JOIN people b ON a.salary > b.salary
SELECT ssn FROM people INTERSECT SELECT '900-10-7771'
SELECT ssn FROM people UNION SELECT '900-10-7771'
SELECT ssn FROM people EXCEPT SELECT '900-10-7771'
SELECT id IN (SELECT length(email) FROM people) FROM notes
SELECT g FROM generate_series(77000, 78000) g JOIN people ON points = g
SELECT s.a FROM scratch s JOIN people p ON s.a = p.email
SELECT s.a FROM scratch s, people p WHERE s.a = p.email
SELECT count(*) FILTER (WHERE email LIKE 'c%') FROM people
SELECT count(nullif(email, 'x')) IS NULL FROM people ORDER BY count(email LIKE 'c%')
UPDATE scratch SET n = 1 WHERE EXISTS (SELECT FROM people WHERE email > 'c')
INSERT INTO people (id, name, email) VALUES (77, 'x', 'probe@x') ON CONFLICT (email) DO NOTHING
ALTER TABLE people RENAME COLUMN email TO nick
ALTER TABLE people RENAME TO folk
ALTER TABLE people SET SCHEMA s2
ALTER TABLE people ALTER COLUMN name TYPE text USING email
ALTER TABLE people ADD CHECK (email > 'd')
ALTER TABLE log DETACH PARTITION log_2024
ALTER TABLE dogs NO INHERIT animals
CREATE UNIQUE INDEX ON people (left(email, 2))
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := (SELECT email FROM people LIMIT 1); RETURN NEW; END $$
SELECT jsonb_path_exists(profile, '$.card.number ? (@ like_regex "^c")', '{}', false) AND id/0 > 1 FROM people
SELECT profile - 0 FROM people
SELECT (profile->'card')::int FROM people
SELECT to_date(email, 'YYYY') FROM people
SELECT xmlparse(content email) FROM people
SELECT JSON_VALUE(profile, 'strict $.nope' ERROR ON ERROR) FROM people
SELECT ('{1,2}'::int[])[salary::int] FROM people
SELECT make_date(salary::int, 1, 1) FROM people
SELECT repeat('x', (salary * 1000000)::int) FROM people
SELECT born + 5800000 FROM people WHERE salary > 1
SELECT id FROM people TABLESAMPLE BERNOULLI ((SELECT salary FROM people LIMIT 1))
SELECT lower(email) FROM people GROUP BY ROLLUP (lower(email))
SELECT name FROM people HAVING max(salary) > 1
SELECT CASE email WHEN 'canary1@secret.example' THEN 1 END FROM people
SELECT pg_sleep(CASE WHEN email LIKE 'c%' THEN 1 ELSE 0 END) FROM people
SELECT pg_sleep(length(email) / 1000.0) FROM people
SELECT set_config('a.b', email, false) FROM people
SELECT pg_advisory_lock(points) FROM people
UPDATE people SET age = 1 WHERE salary BETWEEN 1 AND 2
DELETE FROM scratch USING people WHERE people.email LIKE a
SELECT a FROM scratch WHERE a = ANY (SELECT email FROM people)
SELECT a FROM scratch WHERE a IN (SELECT email FROM people)
SELECT query FROM pg_stat_activity
SELECT attname, correlation FROM pg_stats
CREATE FUNCTION cf() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN SELECT email INTO r FROM people LIMIT 1; RETURN r; END $$
CREATE FUNCTION cf(a int, OUT b text) LANGUAGE plpgsql AS $$ BEGIN SELECT email INTO b FROM people WHERE id = a; END $$
CREATE FUNCTION cf() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE 'select email from people' INTO r; RETURN r; END $$
CREATE FUNCTION cf() RETURNS text BEGIN ATOMIC SELECT email FROM people LIMIT 1; END
ALTER FUNCTION email_of RENAME TO shoutx
ALTER SCHEMA public RENAME TO pub
ALTER VIEW contacts RENAME TO whatever
ALTER TABLE contacts RENAME COLUMN address TO body
ALTER TABLE scratch ALTER a SET DEFAULT email_of(1)
CREATE CAST (int AS text) WITH FUNCTION email_of(int)
SELECT id FROM rich WHERE is_rich = true
SELECT id FROM contacts2 WHERE loud = 'CANARY1@SECRET.EXAMPLE'
SELECT id FROM people WHERE email_low = 'x'
SELECT coalesce(substring(email from '^c'), (1/(id-id))::text) FROM people
SELECT (email LIKE 'c%') OR 1/(id-id) > 0 FROM people
SELECT coalesce(substring(email from '^c'), (SELECT body FROM notes)) FROM people
SELECT replace(email, 'c', '\')::bytea FROM people
SELECT exp(salary) FROM people
SELECT json_object_agg(email, 1) FROM people
SELECT s.a FROM scratch s NATURAL JOIN (SELECT email AS a FROM people) p
SELECT p.id FROM people p JOIN people q ON p.email = q.email_low
CREATE TABLE leaked AS EXECUTE pz
EXPLAIN ANALYZE CREATE TABLE leaked2 AS EXECUTE pz
