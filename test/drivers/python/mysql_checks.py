"""PyMySQL, mysqlclient (libmariadb underneath) and mysql-connector-python: argument 1 says which."""

import datetime
import decimal
import json
import os
import sys
import tempfile
import threading

from report import DIRECT, equal, needs_rules, report

DRIVER = sys.argv[1]
PASSWORD = os.environ["MYSQL_PWD"]
DATABASE = os.environ["MYSQL_DATABASE"]
CA = os.environ["MYSQL_SSL_CA"] if os.environ["MYSQL_SSL_MODE"] == "verify-full" else None
WHERE = {"host": os.environ["MYSQL_HOST"], "port": int(os.environ["MYSQL_TCP_PORT"]), "user": os.environ["MYSQL_USER"]}
CONNECTOR = DRIVER == "mysql-connector-python"

if DRIVER == "PyMySQL":
    import pymysql as driver
    from pymysql.constants import CLIENT

    def open_connection(password=PASSWORD, compress=False):
        assert not compress
        tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True} if CA else {}
        # A password that is a str it would send as Latin-1.
        return driver.connect(
            **WHERE, **tls, password=password.encode(), database=DATABASE, charset="utf8mb4", autocommit=True,
            local_infile=True, client_flag=CLIENT.MULTI_STATEMENTS, max_allowed_packet=64 * 1024 * 1024,
        )

elif DRIVER == "mysqlclient":
    import MySQLdb as driver

    def open_connection(password=PASSWORD, compress=False):
        tls = {"ssl": {"ca": CA}, "ssl_mode": "VERIFY_IDENTITY"} if CA else {"ssl_mode": "DISABLED"}
        return driver.connect(
            **WHERE, **tls, password=password, database=DATABASE, charset="utf8mb4", autocommit=True, local_infile=True,
            compress=compress,
        )

else:
    import mysql.connector as driver

    # The C extension of its wheel asks for a newer OpenSSL than many systems have.
    def open_connection(password=PASSWORD, compress=False):
        tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True} if CA else {"ssl_disabled": True}
        return driver.connect(
            **WHERE, **tls, password=password, database=DATABASE, charset="utf8mb4", collation="utf8mb4_unicode_ci",
            autocommit=True, allow_local_infile=True, compress=compress, use_pure=True,
        )


def execute(db, sql, values=None, prepared=False):
    """The rows of the last result."""
    with db.cursor(prepared=True) if prepared else db.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []


def value(db, sql, values=None, prepared=False):
    return execute(db, sql, values, prepared)[0][0]


def error_of(action):
    """Number of the error the action must raise; its SQLSTATE too, where the driver tells it."""
    try:
        action()
    except driver.Error as error:
        return (error.errno, error.sqlstate) if CONNECTOR else error.args[0]
    raise AssertionError("no error")


def fails(code, state, action):
    equal(error_of(action), (code, state) if CONNECTOR else code)


ROW = {
    "tiny": -128, "small": -32768, "medium": -8388608, "big": -9223372036854775808, "unsigned_big": 18446744073709551615,
    "single": 0.5, "twice": 1.5e308, "exact": decimal.Decimal("-12345678901234567890.01234567890123456789"),
    "bits": 513 if CONNECTOR else b"\x02\x01", "year": 2155, "day": datetime.date(2024, 2, 29),
    "time": datetime.timedelta(hours=12, minutes=34, seconds=56, microseconds=789012),
    "moment": datetime.datetime(1999, 12, 31, 23, 59, 59, 999999),
    "stamp": datetime.datetime(2026, 11, 23, 12, 0, 0, 123456),
    "fixed": "fixed", "text": "häß 漢字 🐘 'quoted' \\ \n", "bytes": bytes(range(256)), "choice": "b",
    "several": {"x", "z"} if CONNECTOR else "x,z",
}


def connect(db):
    equal(value(db, "SELECT 1"), 1)
    # Where the server caches, the second login takes another way than the first.
    open_connection().close()
    fails(1045, "28000", lambda: open_connection("wrong " + PASSWORD))


def types(db, prepared=False):
    execute(db, "SET time_zone = '+00:00'")
    expected = dict(ROW)
    if prepared:
        # What the connector makes of the binary protocol; of a year it reads half, and loses its place in the row.
        expected.update({"bits": b"\x02\x01", "several": "x,z"})
        del expected["year"]
    columns = ", ".join(expected)
    first, second, third = execute(db, f"SELECT {columns}, document FROM typed ORDER BY id", prepared=prepared)
    row = dict(zip(expected, first))
    row["bytes"] = bytes(row["bytes"])
    equal(row, expected)
    equal(json.loads(first[-1]), {"a": [1, None, "ü"]})
    second = dict(zip(expected, second))
    equal(second["big"], 9223372036854775807)
    if not prepared:  # Of a negative time the connector adds the microseconds in binary.
        equal(second["time"], -datetime.timedelta(hours=838, minutes=59, seconds=58, microseconds=1))
    equal(second["text"], "")
    equal(set(third), {None})
    execute(db, "CREATE TEMPORARY TABLE written LIKE typed")
    values = [1, *{**expected, "bits": b"\x02\x01", "several": "x,z"}.values()]
    execute(db, f"INSERT INTO written (id, {columns}) VALUES ({', '.join(['%s'] * len(values))})", values, prepared)
    same = " AND ".join(f"a.{name} <=> b.{name}" for name in expected)
    equal(value(db, f"SELECT COUNT(*) FROM typed a JOIN written b ON {same} WHERE a.id = 1"), 1)


def simple(db):
    equal(value(db, "SELECT 'x;y' -- a comment"), "x;y")
    execute(db, "CREATE TEMPORARY TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    with db.cursor() as cursor:
        cursor.execute("INSERT INTO counted (n) VALUES (1), (2), (3)")
        equal((cursor.rowcount, cursor.lastrowid), (3, 1))
        cursor.execute("SELECT n AS a, NULL AS b FROM counted ORDER BY n")
        equal([column[0] for column in cursor.description], ["a", "b"])
        equal(list(cursor.fetchall()), [(1, None), (2, None), (3, None)])
    db.ping()


def prepared(db):
    with db.cursor(prepared=True) as cursor:
        for n in range(20):
            cursor.execute("SELECT %s * 2, %s", (n, f"text {n}"))
            equal([(float(row[0]), row[1]) for row in cursor.fetchall()], [(n * 2.0, f"text {n}")])
    types(db, prepared=True)
    fails(1064, "42000", lambda: execute(db, "SELEC %s", (1,), prepared=True))


def errors(db):
    fails(1064, "42000", lambda: execute(db, "SELEC 1"))
    fails(1146, "42S02", lambda: execute(db, "SELECT * FROM nowhere"))
    execute(db, "CREATE TEMPORARY TABLE uniq (id INT PRIMARY KEY)")
    execute(db, "INSERT INTO uniq VALUES (1)")
    try:
        execute(db, "INSERT INTO uniq VALUES (%s)", (1,))
        raise AssertionError("no error")
    except driver.IntegrityError as error:
        equal(error.args[0], 1062)
    equal(value(db, "SELECT COUNT(*) FROM uniq"), 1)
    execute(db, "SELECT CAST('1x' AS SIGNED)")
    equal(execute(db, "SHOW WARNINGS")[0][1], 1292)


def transactions(db):
    execute(db, "CREATE TEMPORARY TABLE kept (id INT) ENGINE = InnoDB")
    db.autocommit = False if CONNECTOR else db.autocommit(False) or db.autocommit
    execute(db, "INSERT INTO kept VALUES (1)")
    execute(db, "SAVEPOINT s")
    execute(db, "INSERT INTO kept VALUES (2)")
    execute(db, "ROLLBACK TO s")
    execute(db, "INSERT INTO kept VALUES (%s)", (3,))
    db.commit()
    execute(db, "INSERT INTO kept VALUES (4)")
    db.rollback()
    equal(value(db, "SELECT GROUP_CONCAT(id ORDER BY id) FROM kept"), "1,3")


def results(cursor):
    every = []
    while True:
        every.append(list(cursor.fetchall()) if cursor.description else None)
        if not cursor.nextset():
            return every


def multi(db):
    with db.cursor() as cursor:
        cursor.execute("SELECT 'x;y'; DO 1; SELECT 'b', 2")
        equal(results(cursor), [[("x;y",)], None, [("b", 2)]])

    def broken():
        with db.cursor() as cursor:
            cursor.execute("SELECT 1; SELEC 2; SELECT 3")
            results(cursor)

    fails(1064, "42000", broken)
    with db.cursor() as cursor:
        cursor.execute("CALL two_results(4)")
        equal(results(cursor)[:2], [[(4,)], [(5, "x")]])
        called = cursor.callproc("twice", (21, 0))
        if CONNECTOR:
            equal(called, (21, 42))
    if not CONNECTOR:
        equal(value(db, "SELECT @_twice_1"), 42)

    def late():
        with db.cursor() as cursor:
            cursor.execute("CALL fails_late()")
            results(cursor)

    fails(1644, "45000", late)
    equal(value(db, "SELECT 3"), 3)


def batch(db):
    execute(db, "CREATE TEMPORARY TABLE many (n INT, t TEXT)")
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO many VALUES (%s, %s)", [(n, f"text of {n}") for n in range(1000)])
        equal(cursor.rowcount, 1000)
        cursor.executemany("UPDATE many SET t = %s WHERE n = %s", [("changed", n) for n in range(20)])
    equal(value(db, "SELECT COUNT(*) FROM many WHERE t = 'changed'"), 20)
    equal(value(db, "SELECT COUNT(*) FROM many WHERE t = CONCAT('text of ', n)"), 980)


def stream(db):
    """Rows taken from the socket one by one, not all at once."""
    sql = "SELECT a.id, REPEAT('r', 1000) FROM typed a, typed b, typed c, typed d, typed e, typed f"
    if CONNECTOR:
        cursor = db.cursor(buffered=False)
    else:
        from importlib import import_module
        cursor = db.cursor(import_module(f"{driver.__name__}.cursors").SSCursor)
    with cursor:
        cursor.execute(sql)
        equal(len(cursor.fetchmany(10)), 10)
        equal(len(cursor.fetchall()), 3**6 - 10)
    equal(value(db, "SELECT 1"), 1)


def cancel(db):
    identity = value(db, "SELECT CONNECTION_ID()")
    with open_connection() as other:
        timer = threading.Timer(0.3, lambda: execute(other, f"KILL QUERY {identity}"))
        timer.start()
        fails(1317, "70100", lambda: execute(db, "SELECT COUNT(*) FROM refused_table WHERE SLEEP(30)"))
        timer.join()
    equal(value(db, "SELECT CONNECTION_ID()"), identity)


def infile(db):
    execute(db, "CREATE TEMPORARY TABLE loaded (n INT, t TEXT)")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("1,one\n2,two\n")
        file.flush()
        load = f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE loaded FIELDS TERMINATED BY ','"
        if DIRECT:
            execute(db, load)
        else:
            error_of(lambda: execute(db, load))
    equal(value(db, "SELECT COUNT(*) FROM loaded"), 2 if DIRECT else 0)


def big(db):
    # Two packets each way.
    text = "sluice" * 3_000_000
    if value(db, "SELECT %s", (text,)) != text:
        raise AssertionError("another text came back")
    # A packet that is full to its last byte has an empty one behind it: one byte of command, the rest is text.
    filling = 0xFF_FF_FE - len("SELECT LENGTH('') AS n")
    equal(value(db, f"SELECT LENGTH('{'x' * filling}') AS n"), filling)


def compression(unused):
    with open_connection(compress=True) as db:
        if DIRECT:
            equal(execute(db, "SHOW STATUS LIKE 'Compression'")[0][1], "ON")
        equal(value(db, "SELECT %s", ("x" * 100_000,)), "x" * 100_000)
        equal(value(db, "SELECT REPEAT('y', 1000000)"), "y" * 1_000_000)


def reset(db):
    user = WHERE["user"]
    if CONNECTOR:
        ways = [db.cmd_reset_connection, lambda: db.cmd_change_user(user, PASSWORD, DATABASE)]
    else:
        ways = [lambda: db.change_user(user, PASSWORD, DATABASE)]
    for way in ways:
        execute(db, "SET @kept = 1")
        way()
        equal(value(db, "SELECT @kept"), None)
        equal(value(db, "SELECT DATABASE()"), DATABASE)


def refused(db, run=execute, sql="DELETE FROM refused_table"):
    fails(1142, "42000", lambda: run(db, sql))
    warnings = execute(db, "SHOW WARNINGS")
    if not any("Add a WHERE clause" in row[2] for row in warnings):
        raise AssertionError(f"no hint in {warnings}")


def refusal(db):
    needs_rules()
    refused(db)
    refused(db, sql="SELECT 1; DELETE FROM refused_table")
    if CONNECTOR:
        refused(db, lambda db, sql: execute(db, sql, prepared=True))
    equal(value(db, "SELECT COUNT(*) FROM refused_table"), 3)
    question = "EXPLAIN FORMAT=SLUICE DELETE FROM `refused_table`"
    equal(tuple(execute(db, question)[0]), ("verdict", "deny"))
    if CONNECTOR:
        equal(tuple(execute(db, question, prepared=True)[0]), ("verdict", "deny"))


def refusal_in_transaction(db):
    needs_rules()
    execute(db, "CREATE TEMPORARY TABLE undone (id INT) ENGINE = InnoDB")
    # An error does not end a transaction: what came before it is still there, and can be kept or dropped.
    for end in ("COMMIT", "ROLLBACK"):
        execute(db, "START TRANSACTION")
        execute(db, "INSERT INTO undone VALUES (%s)", (1,))
        refused(db)
        execute(db, "INSERT INTO undone VALUES (2)")
        execute(db, end)
    equal(value(db, "SELECT COUNT(*) FROM undone"), 2)


CHECKS = [connect, types, simple]
if CONNECTOR:
    CHECKS += [prepared]
CHECKS += [errors, transactions, multi, batch, stream, cancel, infile, big]
if DRIVER != "PyMySQL":
    CHECKS += [compression, reset]
CHECKS += [refusal, refusal_in_transaction]

for check in CHECKS:
    name = check.__name__.replace("_", "-")
    try:
        db = open_connection()
        try:
            check(db)
        finally:
            db.close()
        report(name)
    except Exception as error:
        report(name, error)
