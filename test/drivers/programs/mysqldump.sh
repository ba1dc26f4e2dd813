#!/usr/bin/env bash
# mysqldump and mariadb-dump. $1: directory, $2: mysqldump or mariadb-dump.
set -u
source "$(dirname "$0")/report.sh"

options=(--no-defaults --protocol=tcp --host="$MYSQL_HOST" --port="$MYSQL_TCP_PORT" --user="$MYSQL_USER")
# What only administrators may see: tablespaces. And what needs FLUSH TABLES: GTIDs.
case "$2 $MYSQL_SSL_MODE" in
  'mysqldump verify-full') options+=(--ssl-mode=VERIFY_IDENTITY --ssl-ca="$MYSQL_SSL_CA") ;;
  'mysqldump disabled') options+=(--ssl-mode=DISABLED --get-server-public-key) ;;
  'mariadb-dump verify-full') options+=(--ssl --ssl-verify-server-cert --ssl-ca="$MYSQL_SSL_CA") ;;
  'mariadb-dump disabled') options+=(--skip-ssl) ;;
esac
[ "$2" = mariadb-dump ] || options+=(--set-gtid-purged=OFF)
program="$1/$2"
dump() {
  "$program" "${options[@]}" --no-tablespaces "$@" "$MYSQL_DATABASE" typed >"$scratch/dump" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
  grep -q -- '-- Dump completed' "$scratch/dump" || fail 'the dump is not complete'
}

tables() {
  dump --skip-lock-tables
  grep -q 'CREATE TABLE `typed`' "$scratch/dump" || fail 'no table'
  grep -q "18446744073709551615,0.5,1.5e308,-12345678901234567890.01234567890123456789" "$scratch/dump" || fail 'no row'
}
locked() { dump --lock-tables --hex-blob; grep -q 0x000102 "$scratch/dump" || fail 'no bytes'; }
transaction() { dump --single-transaction --quick --skip-extended-insert; equal "$(grep -c '^INSERT INTO' "$scratch/dump")" 3; }


run tables locked transaction
