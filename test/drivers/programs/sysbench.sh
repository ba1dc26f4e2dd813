#!/usr/bin/env bash
# sysbench (over libmariadb): many short transactions on several connections, as text and prepared. $1: directory with it.
set -u
source "$(dirname "$0")/report.sh"

bench() {
  "$1/sysbench" --db-driver=mysql --mysql-host="$MYSQL_HOST" --mysql-port="$MYSQL_TCP_PORT" --mysql-user="$MYSQL_USER" \
    --mysql-password="$MYSQL_PWD" --mysql-db="$MYSQL_DATABASE" --table-size=200 --tables=2 --threads=3 --events=60 --time=20 \
     "${@:2}" >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
}
bin=$1
runs() {
  bench "$bin" "$@" run
  grep -q 'total number of events: *60$' "$scratch/out" || fail "$(cat "$scratch/out")"
  grep -q 'reconnects: *0 ' "$scratch/out" || fail "$(cat "$scratch/out")"
}

prepare() { bench "$bin" oltp_read_write prepare; }
prepared() { runs oltp_read_write --db-ps-mode=auto; }
simple() { runs oltp_read_write --db-ps-mode=disable; }
read_only() { runs oltp_read_only --db-ps-mode=auto; }
cleanup() { bench "$bin" oltp_read_write cleanup; }

run prepare prepared simple read_only cleanup
