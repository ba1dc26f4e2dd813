#!/usr/bin/env bash
# pgbench: many short transactions on several connections, in each of its protocol modes. $1: directory with pgbench.
set -u
source "$(dirname "$0")/report.sh"

bench() {
  "$bin/pgbench" -n -c 4 -j 2 -t 50 "$@" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
  grep -q 'number of transactions actually processed: 200/200' "$scratch/out" || fail "$(cat "$scratch/out")"
  ! grep -q 'number of failed transactions: [1-9]' "$scratch/out" || fail "$(cat "$scratch/out")"
}

bin=$1
# The initialisation loads its rows with COPY FROM STDIN.
copy() { "$bin/pgbench" -i -q -s 1 || fail 'pgbench -i'; }
simple() { bench -M simple; }
extended() { bench -M extended; }
prepared() { bench -M prepared; }
read_only() { bench -S -M prepared; }
reconnect() { bench -C -S; }
pipeline() {
  cat >"$scratch/script" <<'SCRIPT'
\set n random(1, 1000)
\startpipeline
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :n;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :n;
SELECT :n;
COMMIT;
\endpipeline
SCRIPT
  bench -M extended -f "$scratch/script"
  bench -M prepared -f "$scratch/script"
}
refusal() {
  needs_rules || return 0
  echo 'DELETE FROM refused_table;' >"$scratch/script"
  "$bin/pgbench" -n -t 1 -f "$scratch/script" >"$scratch/out" 2>&1 && fail 'the DELETE went through'
  grep -q 'refused_table' "$scratch/out" || fail "$(cat "$scratch/out")"
}

run copy simple extended prepared read_only reconnect pipeline refusal
