#!/usr/bin/env bash
# mysqldump and mariadb-dump. $1: directory, $2: mysqldump or mariadb-dump.
set -u
source "$(dirname "$0")/report.sh"

access=(--no-defaults --protocol=tcp --host="$MYSQL_HOST" --port="$MYSQL_TCP_PORT" --user="$MYSQL_USER")
case "$2 $MYSQL_SSL_MODE" in
  'mysqldump verify-full') access+=(--ssl-mode=VERIFY_IDENTITY --ssl-ca="$MYSQL_SSL_CA") ;;
  'mysqldump disabled') access+=(--ssl-mode=DISABLED --get-server-public-key) ;;
  'mariadb-dump verify-full') access+=(--ssl --ssl-verify-server-cert --ssl-ca="$MYSQL_SSL_CA") ;;
  'mariadb-dump disabled') access+=(--skip-ssl) ;;
esac
# What needs FLUSH TABLES is not asked for: GTIDs. Nor what only administrators may see: tablespaces.
options=("${access[@]}")
[ "$2" = mariadb-dump ] || options+=(--set-gtid-purged=OFF)
program="$1/$2"
client="$1/$([ "$2" = mariadb-dump ] && echo mariadb || echo mysql)"
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

# A dump sets the session's character sets and modes, and puts back what it found, from variables.
restored() {
  dump --skip-lock-tables
  sed 's/`typed`/`restored`/g' "$scratch/dump" |
    "$client" "${access[@]}" --default-character-set=utf8mb4 "$MYSQL_DATABASE" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
  equal "$("$client" "${access[@]}" -N "$MYSQL_DATABASE" -e 'SELECT COUNT(*) FROM restored r JOIN typed t USING (id)
    WHERE r.text <=> t.text AND r.bytes <=> t.bytes AND r.exact <=> t.exact AND r.moment <=> t.moment; DROP TABLE restored')" 3
}

run tables locked transaction restored
