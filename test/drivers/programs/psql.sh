#!/usr/bin/env bash
# psql, which is libpq underneath, driven as people drive it. $1: directory with psql.
set -u
source "$(dirname "$0")/report.sh"
psql="$1/psql -X -q -A -t -v ON_ERROR_STOP=1"

connect() {
  equal "$($psql -c 'SELECT 1')" 1
  equal "$(PGPASSWORD="wrong $PGPASSWORD" $psql -c 'SELECT 1' 2>&1 | grep -c 'password authentication failed')" 1
  local encrypted=1
  [ "$PGSSLMODE" != disable ] || encrypted=0
  equal "$($psql -c '\conninfo' | grep -c 'SSL connection')" $encrypted
}

types() {
  local sql="SELECT (-32768)::int2, 2147483647, (-9223372036854775808)::int8, 0.5::float4, 1.5e308::float8,
    '-12345678901234567890.0123456789'::numeric, true, 'häß 漢字 🐘', '\\x00ff'::bytea, date '2024-02-29',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '[1, null]'::jsonb, '{1,NULL,-3}'::int[], NULL::text"
  local row='-32768|2147483647|-9223372036854775808|0.5|1.5e+308|-12345678901234567890.0123456789|t|häß 漢字 🐘'
  row+='|\x00ff|2024-02-29|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|[1, null]|{1,NULL,-3}|'
  equal "$($psql -c "$sql")" "$row"
}

simple() {
  # -c sends both in one Query message, which is one transaction.
  equal "$($psql -c "SELECT 'x;y'; SELECT 'b'")" $'x;y\nb'
  # \; does the same from a script, on its own ; each is a message.
  equal "$($psql <<<'SELECT 1\; SELECT 2; SELECT 3;')" $'1\n2\n3'
}

prepared() {
  equal "$($psql <<<'PREPARE double (int) AS SELECT $1 * 2; EXECUTE double(4); EXECUTE double(21); DEALLOCATE double;')" $'8\n42'
}

errors() {
  local script='\set ON_ERROR_STOP 0
    SELEC 1;
    \echo :LAST_ERROR_SQLSTATE
    CREATE TEMP TABLE uniq (id int PRIMARY KEY);
    INSERT INTO uniq VALUES (1);
    INSERT INTO uniq VALUES (1);
    \echo :LAST_ERROR_SQLSTATE
    SELECT count(*) FROM uniq;'
  equal "$($psql <<<"$script" 2>/dev/null)" $'42601\n23505\n1'
}

transactions() {
  local script='CREATE TEMP TABLE kept (id int);
    BEGIN; INSERT INTO kept VALUES (1); SAVEPOINT s; INSERT INTO kept VALUES (2); ROLLBACK TO s;
    INSERT INTO kept VALUES (3); COMMIT;
    BEGIN; INSERT INTO kept VALUES (4); ROLLBACK;
    SELECT id FROM kept ORDER BY id;'
  equal "$($psql <<<"$script")" $'1\n3'
}

portal() {
  # With FETCH_COUNT psql declares a cursor.
  equal "$($psql -v FETCH_COUNT=7 -c '\set FETCH_COUNT 7' -c 'SELECT generate_series(1, 50)')" "$(seq 50)"
}

copy() {
  local rows=$'1\ttab\\there\t\\N\n2\tline\\nbreak\t\\\\x00ff'
  local script='CREATE TEMP TABLE copied (id int, note text, data bytea);
\copy copied FROM STDIN
'"$rows"'
\.
\copy copied TO STDOUT
\copy copied TO STDOUT WITH (FORMAT csv)
\set ON_ERROR_STOP 0
\copy copied FROM STDIN
not a number
\.
SELECT count(*) FROM copied;'
  equal "$($psql <<<"$script" 2>"$scratch/error")" "$rows"$'\n1,tab\there,\n2,"line\nbreak",\\x00ff\n2'
  # psql keeps no SQLSTATE of a failed \copy, only its message.
  equal "$(grep -c 'invalid input syntax for type integer: "not a number"' "$scratch/error")" 1
}

cancel() {
  local out="$scratch/cancel"
  $psql -v ON_ERROR_STOP=0 <<<'SELECT pg_sleep(30);
\echo :LAST_ERROR_SQLSTATE' >"$out" 2>&1 &
  local pid=$!
  sleep 0.7
  # Ctrl-C: psql sends a CancelRequest.
  kill -INT $pid
  wait $pid
  equal "$(grep -c 'canceling statement due to user request' "$out")" 1
}

notify() {
  equal "$($psql <<<"LISTEN psql_$$; NOTIFY psql_$$, 'to itself';" | grep -c 'with payload "to itself"')" 1
}

describe() {
  equal "$($psql -c '\d refused_table' | head -1)" 'id|integer|||'
  equal "$($psql -c '\dt refused_table' | cut -d'|' -f1-3)" 'public|refused_table|table'
  $psql -c '\d+' -c '\df' -c '\dn' -c '\du' -c '\l' -c '\dx' -c '\dS+ pg_class' >/dev/null || fail 'a \d command'
}

refusal() {
  needs_rules || return 0
  local script='\set ON_ERROR_STOP 0
    DELETE FROM refused_table;
    \echo :LAST_ERROR_SQLSTATE
    SELECT count(*) FROM refused_table;'
  equal "$($psql <<<"$script" 2>"$scratch/error")" $'42501\n3'
  equal "$(grep -c '^HINT: ' "$scratch/error")" 1
  equal "$($psql -c 'EXPLAIN (SLUICE) DELETE FROM public.refused_table' | head -n 1)" 'verdict|deny'
  equal "$($psql -c 'SHOW sluice.session' | grep -c "^identity|$PGUSER\$")" 1
}

refusal_in_transaction() {
  needs_rules || return 0
  local script='\set ON_ERROR_STOP 0
    \set QUIET off
    CREATE TEMP TABLE undone (id int);
    BEGIN;
    INSERT INTO undone VALUES (1);
    DELETE FROM refused_table;
    \echo :LAST_ERROR_SQLSTATE
    SELECT 1;
    \echo :LAST_ERROR_SQLSTATE
    COMMIT;
    SELECT count(*) FROM undone;'
  equal "$($psql <<<"$script" 2>/dev/null)" $'CREATE TABLE\nBEGIN\nINSERT 0 1\n42501\n25P02\nROLLBACK\n0'
}

run connect types simple prepared errors transactions portal copy cancel notify describe refusal refusal_in_transaction
