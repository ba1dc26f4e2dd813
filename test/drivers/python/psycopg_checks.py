"""psycopg 3, which is libpq underneath."""

import datetime
import decimal
import json
import os
import threading
import uuid

import psycopg
from psycopg.types.json import Jsonb

from report import equal, needs_rules, report

UTC = datetime.timezone.utc
VALUES = [
    ("int2", -32768),
    ("int4", 2147483647),
    ("int8", -9223372036854775808),
    ("float4", 0.5),
    ("float8", 1.7976931348623157e308),
    ("numeric", decimal.Decimal("-12345678901234567890.0123456789")),
    ("bool", True),
    ("text", "häß 漢字 🐘 'quoted' \\ \n"),
    ("bytea", bytes(range(256))),
    ("date", datetime.date(2024, 2, 29)),
    ("timestamp", datetime.datetime(1999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", datetime.datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC)),
    ("interval", datetime.timedelta(days=3, microseconds=7)),
    ("uuid", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("int4[]", [1, None, -3]),
    ("text[]", ["a", "", None, "{,}\"'"]),
    ("text", None),
]


def state_of(action):
    """SQLSTATE of the error the action must raise."""
    try:
        action()
    except psycopg.Error as error:
        return error.sqlstate
    raise AssertionError("no error")


def connect(db):
    equal(db.execute("SELECT 1").fetchone()[0], 1)
    equal(db.info.transaction_status.name, "IDLE")
    try:
        psycopg.connect(password="wrong " + os.environ["PGPASSWORD"]).close()
    except psycopg.OperationalError as error:
        # libpq keeps no SQLSTATE of a failed connect, only the message.
        assert "password authentication failed" in str(error), error
    else:
        raise AssertionError("a wrong password got in")


def types(db):
    db.execute("SET timezone TO 'UTC'")
    for binary in (False, True):
        for name, value in VALUES:
            placeholder = "%b" if binary else "%t"
            with db.cursor(binary=binary) as cursor:
                cursor.execute(f"SELECT {placeholder}::{name}", [value])
                equal(cursor.fetchone()[0], value)
        document = {"a": [1, None, "ü"], "b": {"c": 1.5}}
        with db.cursor(binary=binary) as cursor:
            equal(cursor.execute("SELECT %s::jsonb", [Jsonb(document)]).fetchone()[0], document)
            equal(cursor.execute("SELECT %s::json", [json.dumps(document)]).fetchone()[0], document)


def simple(db):
    with psycopg.ClientCursor(db) as cursor:
        cursor.execute("SELECT %s AS a; SELECT 'b', %s::int", ["x;y", 2])
        equal(cursor.fetchall(), [("x;y",)])
        assert cursor.nextset()
        equal(cursor.fetchall(), [("b", 2)])
        assert not cursor.nextset()
        equal(cursor.execute("").description, None)


def prepared(db):
    for n in range(20):
        equal(db.execute("SELECT %s::int8 * 2", [n], prepare=True).fetchone()[0], n * 2)
    equal(db.execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql").fetchone()[0] >= 1, True)
    with db.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE many (n int8)")
        cursor.executemany("INSERT INTO many VALUES (%s)", [[n] for n in range(100)])
        equal(cursor.execute("SELECT sum(n)::int8 FROM many").fetchone()[0], 4950)


def errors(db):
    equal(state_of(lambda: db.execute("SELEC 1")), "42601")
    db.execute("CREATE TEMP TABLE uniq (id int PRIMARY KEY)")
    db.execute("INSERT INTO uniq VALUES (1)")
    try:
        db.execute("INSERT INTO uniq VALUES (%s)", [1])
        raise AssertionError("no error")
    except psycopg.errors.UniqueViolation as error:
        equal(error.diag.constraint_name, "uniq_pkey")
        equal(error.diag.table_name, "uniq")
    equal(db.execute("SELECT count(*) FROM uniq").fetchone()[0], 1)


def transactions(db):
    db.execute("CREATE TEMP TABLE kept (id int)")
    with db.transaction():
        db.execute("INSERT INTO kept VALUES (1)")
        with db.transaction(force_rollback=True):
            db.execute("INSERT INTO kept VALUES (2)")
        db.execute("INSERT INTO kept VALUES (3)")
    with db.transaction(force_rollback=True):
        db.execute("INSERT INTO kept VALUES (4)")
    equal(db.execute("SELECT array_agg(id ORDER BY id) FROM kept").fetchone()[0], [1, 3])


def pipeline(db):
    with db.pipeline():
        cursors = [db.execute("SELECT %s::int", [n]) for n in range(50)]
        equal([cursor.fetchone()[0] for cursor in cursors], list(range(50)))

    def failing():
        with db.pipeline():
            db.execute("SELECT 1")
            db.execute("SELECT 1 / %s::int", [0])
            db.execute("SELECT 2")

    equal(state_of(failing), "22012")
    equal(db.execute("SELECT 3").fetchone()[0], 3)


def portal(db):
    with db.transaction(), db.cursor("portions") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT n FROM generate_series(1, 50) n")
        equal([row[0] for row in cursor], list(range(1, 51)))
    with db.cursor() as cursor:
        equal([row[0] for row in cursor.stream("SELECT generate_series(1, %s::int)", [30])], list(range(1, 31)))


def copy(db):
    rows = [(1, "tab\there", None), (2, "line\nbreak", b"\x00\xff"), (3, "\\.", b"")]
    db.execute("CREATE TEMP TABLE copied (id int4, note text, data bytea)")
    with db.cursor() as cursor:
        for options in ("", " (FORMAT binary)"):
            cursor.execute("TRUNCATE copied")
            with cursor.copy(f"COPY copied FROM STDIN{options}") as stream:
                stream.set_types(["int4", "text", "bytea"])
                for row in rows:
                    stream.write_row(row)
            equal(cursor.rowcount, 3)
            with cursor.copy(f"COPY copied TO STDOUT{options}") as stream:
                stream.set_types(["int4", "text", "bytea"])
                equal(list(stream.rows()), rows)

        def broken():
            with cursor.copy("COPY copied FROM STDIN") as stream:
                stream.write("not a number\t\\N\t\\N\n")

        equal(state_of(broken), "22P02")

        def abandoned():
            with cursor.copy("COPY copied FROM STDIN"):
                raise ValueError("changed my mind")

        try:
            abandoned()
        except ValueError:
            pass
        equal(cursor.execute("SELECT count(*) FROM copied").fetchone()[0], 3)


def cancel(db):
    for way in (db.cancel, db.cancel_safe):
        timer = threading.Timer(0.3, way)
        timer.start()
        equal(state_of(lambda: db.execute("SELECT pg_sleep(30)")), "57014")
        timer.join()
        equal(db.execute("SELECT 1").fetchone()[0], 1)


def notify(db):
    channel = f"psycopg_{os.getpid()}"
    with psycopg.connect(autocommit=True) as other:
        db.execute(f"LISTEN {channel}")
        other.execute(f"NOTIFY {channel}, 'from the other'")
        received = [note.payload for note in db.notifies(timeout=10, stop_after=1)]
        equal(received, ["from the other"])
        db.execute(f"UNLISTEN {channel}")


def refusal(db):
    needs_rules()
    equal(state_of(lambda: db.execute("DELETE FROM refused_table")), "42501")
    equal(state_of(lambda: db.execute("DELETE FROM refused_table", prepare=True)), "42501")
    equal(state_of(lambda: psycopg.ClientCursor(db).execute("SELECT 1; DELETE FROM refused_table")), "42501")
    equal(db.execute("SELECT count(*) FROM refused_table").fetchone()[0], 3)

    def in_pipeline():
        with db.pipeline():
            db.execute("SELECT 1")
            db.execute("DELETE FROM refused_table")
            db.execute("SELECT 2")

    equal(state_of(in_pipeline), "42501")
    equal(db.execute("SELECT %s::int", [4]).fetchone()[0], 4)

    question = "EXPLAIN (SLUICE) DELETE FROM public.refused_table"
    equal(db.execute(question).fetchone(), ("verdict", "deny"))
    equal(db.execute(question, prepare=True, binary=True).fetchone(), ("verdict", "deny"))
    equal(psycopg.ClientCursor(db).execute(question).fetchone(), ("verdict", "deny"))
    with db.pipeline():
        first = db.execute("SELECT 1")
        asked = db.execute(f"{question} WHERE id = %s", [1])
        session = db.execute("SHOW sluice.session")
        equal(first.fetchone(), (1,))
        equal(asked.fetchone(), ("verdict", "allow"))
        equal(("identity", db.info.user) in session.fetchall(), True)


def refusal_in_transaction(db):
    needs_rules()
    db.execute("CREATE TEMP TABLE undone (id int)")
    db.execute("BEGIN")
    db.execute("INSERT INTO undone VALUES (%s)", [1])
    equal(state_of(lambda: db.execute("DELETE FROM refused_table")), "42501")
    equal(db.info.transaction_status.name, "INERROR")
    equal(state_of(lambda: db.execute("SELECT 1")), "25P02")
    equal(db.execute("COMMIT").statusmessage, "ROLLBACK")
    equal(db.execute("SELECT count(*) FROM undone").fetchone()[0], 0)


CHECKS = [
    connect, types, simple, prepared, errors, transactions, pipeline, portal, copy, cancel, notify, refusal,
    refusal_in_transaction,
]

for check in CHECKS:
    name = check.__name__.replace("_", "-")
    try:
        with psycopg.connect(autocommit=True) as db:
            check(db)
        report(name)
    except Exception as error:
        report(name, error)
