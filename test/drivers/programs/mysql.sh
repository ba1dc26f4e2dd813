#!/usr/bin/env bash
# The command line clients of MySQL and MariaDB, driven as people drive them. $1: directory, $2: mysql or mariadb.
set -u
source "$(dirname "$0")/report.sh"

options=(--no-defaults --protocol=tcp --host="$MYSQL_HOST" --port="$MYSQL_TCP_PORT" --user="$MYSQL_USER"
  --default-character-set=utf8mb4 --max-allowed-packet=64M --local-infile=1)
case "$2 $MYSQL_SSL_MODE" in
  'mysql verify-full') options+=(--ssl-mode=VERIFY_IDENTITY --ssl-ca="$MYSQL_SSL_CA") ;;
  'mysql disabled') options+=(--ssl-mode=DISABLED --get-server-public-key) ;;
  'mariadb verify-full') options+=(--ssl --ssl-verify-server-cert --ssl-ca="$MYSQL_SSL_CA") ;;
  'mariadb disabled') options+=(--skip-ssl) ;;
esac
program="$1/$2"
kind=$2
# MySQL's client takes its own commands, such as `status`, only where it is told so.
[ "$kind" = mariadb ] || options+=(--loose-commands)
# Without column names.
client() { "$program" "${options[@]}" -N "$MYSQL_DATABASE" "$@"; }

connect() {
  equal "$(client -e 'SELECT 1')" 1
  # Where the server caches, the second login takes another way than the first.
  equal "$(client -e 'SELECT 2')" 2
  equal "$(MYSQL_PWD="wrong $MYSQL_PWD" client -e 'SELECT 1' 2>&1 | grep -c 'ERROR 1045 (28000)')" 1
  local encrypted=0
  [ "$MYSQL_SSL_MODE" = disabled ] || encrypted=1
  equal "$(client -e 'status' | grep -c 'Cipher in use is')" $encrypted
}

types() {
  local columns='tiny, small, medium, big, unsigned_big, single, twice, exact, year, day, time, moment, fixed, text,
    NULL, SHA2(bytes, 256), choice, several, document'
  local row=$'-128\t-32768\t-8388608\t-9223372036854775808\t18446744073709551615\t0.5\t1.5e308'
  row+=$'\t-12345678901234567890.01234567890123456789\t2155\t2024-02-29\t12:34:56.789012\t1999-12-31 23:59:59.999999'
  row+=$'\tfixed\thäß 漢字 🐘 \'quoted\' \\\\ \\n\tNULL\t40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880\tb\tx,z\t{"a": [1, null, "ü"]}'
  equal "$(client -e "SELECT $columns FROM typed WHERE id = 1")" "$row"
}

simple() {
  equal "$(client <<<"SELECT 'x;y'; SELECT 'b', 2;")" $'x;y\nb\t2'
  equal "$("$program" "${options[@]}" -t -e 'SELECT 1 AS a' "$MYSQL_DATABASE" | head -2 | tail -1)" '| a |'
  # COM_INIT_DB, and completion's COM_FIELD_LIST.
  equal "$(client -A <<<"USE $MYSQL_DATABASE; SELECT DATABASE();")" "$MYSQL_DATABASE"
  equal "$(client --auto-rehash <<<'SELECT 1;')" 1
}

prepared() {
  equal "$(client <<<"PREPARE twice FROM 'SELECT ? * 2'; SET @n = 4; EXECUTE twice USING @n; SET @n = 21; EXECUTE twice USING @n; DEALLOCATE PREPARE twice;")" $'8\n42'
}

errors() {
  local script='SELEC 1;
    CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY);
    INSERT INTO uniq VALUES (1);
    INSERT INTO uniq VALUES (1);
    SELECT * FROM nowhere;
    SELECT COUNT(*) FROM uniq;'
  equal "$(client --force <<<"$script" 2>&1 | grep -o '^1$\|ERROR [0-9]* ([0-9A-Z]*)' | tr '\n' ' ')" \
    'ERROR 1064 (42000) ERROR 1062 (23000) ERROR 1146 (42S02) 1 '
}

transactions() {
  local script='CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB;
    BEGIN; INSERT INTO kept VALUES (1); SAVEPOINT s; INSERT INTO kept VALUES (2); ROLLBACK TO s;
    INSERT INTO kept VALUES (3); COMMIT;
    BEGIN; INSERT INTO kept VALUES (4); ROLLBACK;
    SELECT id FROM kept ORDER BY id;'
  equal "$(client <<<"$script")" $'1\n3'
}

multi() {
  # With another delimiter the client sends several statements in one text.
  equal "$(client <<<$'DELIMITER //\nSELECT \'x;y\'; DO 1; SELECT 2//\nCALL two_results(4)//')" $'x;y\n2\n4\n5\tx'
  equal "$(client <<<'CALL twice(21, @doubled); SELECT @doubled;')" 42
}

stream() {
  equal "$(client --quick -e 'SELECT a.id FROM typed a, typed b, typed c, typed d, typed e, typed f' | wc -l)" 729
}

cancel() {
  # Ctrl-C: the client sends KILL QUERY over another connection.
  local begun=$SECONDS
  timeout --foreground -s INT 0.5 "$program" "${options[@]}" "$MYSQL_DATABASE" \
    -e 'SELECT COUNT(*) FROM refused_table WHERE SLEEP(20)' >"$scratch/out" 2>&1
  [ $((SECONDS - begun)) -lt 10 ] || fail 'the statement has not ended'
  grep -q 'Query execution was interrupted\|Aborted\|aborted' "$scratch/out" || fail "$(cat "$scratch/out")"
}

infile() {
  printf '1,one\n2,two\n' >"$scratch/rows"
  client --force >"$scratch/out" 2>&1 <<<"CREATE TEMPORARY TABLE loaded (n INT, t TEXT);
    LOAD DATA LOCAL INFILE '$scratch/rows' INTO TABLE loaded FIELDS TERMINATED BY ',';
    SELECT CONCAT('rows ', COUNT(*)) FROM loaded;"
  local expected='rows 2'
  [ "$DRIVER_TARGET" = direct ] || { expected='rows 0'; grep -q '^ERROR' "$scratch/out" || fail "$(cat "$scratch/out")"; }
  grep -qx "$expected" "$scratch/out" || fail "$(cat "$scratch/out")"
}

big() {
  { printf "SELECT LENGTH('"; head -c 17000000 /dev/zero | tr '\0' x; echo "');"; } >"$scratch/big.sql"
  equal "$(client <"$scratch/big.sql")" 17000000
  equal "$(client -e "SELECT REPEAT('x', 17000000)" | wc -c)" 17000001
}

compression() {
  local ways=(--compress)
  [ "$kind" = mariadb ] || ways=(--compression-algorithms=zlib --compression-algorithms=zstd)
  { printf "SELECT LENGTH('"; head -c 17000000 /dev/zero | tr '\0' x; echo "');"; } >"$scratch/big.sql"
  for way in "${ways[@]}"; do
    equal "$(client "$way" -e "SELECT LENGTH(REPEAT('x', 1000))")" 1000
    equal "$(client "$way" -e "SELECT REPEAT('x', 17000000)" | wc -c)" 17000001
    equal "$(client "$way" <"$scratch/big.sql")" 17000000
    [ "$DRIVER_TARGET" != direct ] || equal "$(client "$way" -e "SHOW STATUS LIKE 'Compression'")" $'Compression\tON'
  done
}

refusal() {
  needs_rules || return 0
  client --force --show-warnings >"$scratch/out" 2>&1 <<<'DELETE FROM refused_table; SHOW WARNINGS; SELECT COUNT(*) FROM refused_table;'
  grep -q 'ERROR 1142 (42000)' "$scratch/out" && grep -q 'Add a WHERE clause' "$scratch/out" &&
    grep -qx 3 "$scratch/out" || fail "$(cat "$scratch/out")"
}

refusal_in_transaction() {
  needs_rules || return 0
  local script='CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB;
    BEGIN; INSERT INTO undone VALUES (1); DELETE FROM refused_table; INSERT INTO undone VALUES (2); COMMIT;
    BEGIN; INSERT INTO undone VALUES (3); DELETE FROM refused_table; ROLLBACK;
    SELECT id FROM undone ORDER BY id;'
  # An error does not end a transaction: what came before it is still there, and can be kept or dropped.
  equal "$(client --force <<<"$script" 2>"$scratch/err")" $'1\n2'
  equal "$(grep -c 'ERROR 1142 (42000)' "$scratch/err")" 2
}

run connect types simple prepared errors transactions multi stream cancel infile big compression refusal \
  refusal_in_transaction
