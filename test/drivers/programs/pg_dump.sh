#!/usr/bin/env bash
# pg_dump reads the catalogue and copies rows out in one repeatable-read transaction; psql and pg_restore play it back.
# $1: directory with pg_dump, pg_restore and psql.
set -u
source "$(dirname "$0")/report.sh"
bin=$1
schema=dumped_$$
psql="$bin/psql -X -q -A -t -v ON_ERROR_STOP=1"

create() {
  $psql <<SQL
DROP SCHEMA IF EXISTS $schema CASCADE;
CREATE SCHEMA $schema;
CREATE TYPE $schema.mood AS ENUM ('fine', 'ünwell');
CREATE TABLE $schema.people (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood $schema.mood, data bytea);
CREATE TABLE $schema.visits (person int REFERENCES $schema.people, at timestamptz DEFAULT now(), CHECK (person > 0));
CREATE VIEW $schema.recent AS SELECT name, max(at) FROM $schema.people JOIN $schema.visits ON id = person GROUP BY name;
CREATE FUNCTION $schema.add_one(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n + 1; END';
INSERT INTO $schema.people (name, mood, data)
  SELECT 'person ' || n, CASE n % 2 WHEN 0 THEN 'fine' END::$schema.mood, decode(md5(n::text), 'hex') FROM generate_series(1, 500) n;
INSERT INTO $schema.visits SELECT 1 + n % 500, timestamptz '2026-01-01 UTC' + n * interval '1 hour' FROM generate_series(1, 2000) n;
SQL
}

digest() {
  $psql <<SQL
SELECT count(*), md5(string_agg(p::text, '' ORDER BY id)) FROM $schema.people p;
SELECT count(*), md5(string_agg(person || extract(epoch FROM at)::text, '' ORDER BY at)) FROM $schema.visits;
SELECT count(*), $schema.add_one(1) FROM $schema.recent;
SQL
}

# Dumps, drops, restores, compares. $1: what dumps; $2: what restores.
round_trip() {
  create || fail 'the schema cannot be made'
  local before
  before=$(digest) && [ -n "$before" ] || fail "the schema cannot be read"
  $1 >"$scratch/dump" || fail "$1"
  $psql -c "DROP SCHEMA $schema CASCADE" 2>/dev/null || fail 'the schema cannot be dropped'
  $2 <"$scratch/dump" >/dev/null || fail "$2"
  equal "$(digest)" "$before"
  $psql -c "DROP SCHEMA $schema CASCADE" 2>/dev/null
}

plain() { round_trip "$bin/pg_dump -n $schema" "$psql"; }
inserts() { round_trip "$bin/pg_dump -n $schema --inserts --rows-per-insert=100" "$psql"; }
custom() { round_trip "$bin/pg_dump -n $schema -Fc" "$bin/pg_restore -d $PGDATABASE -e --single-transaction"; }

run plain inserts custom
