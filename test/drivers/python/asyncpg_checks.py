"""asyncpg: its own protocol implementation, binary format only, everything prepared."""

import asyncio
import datetime
import decimal
import io
import os
import time
import uuid

import asyncpg

from report import equal, needs_rules, report

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
    ("timestamptz", datetime.datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=datetime.timezone.utc)),
    ("interval", datetime.timedelta(days=3, microseconds=7)),
    ("jsonb", '{"a": [1, null, "ü"]}'),
    ("int4[]", [1, None, -3]),
    ("text[]", ["a", "", None, "{,}\"'"]),
    ("text", None),
]


async def state_of(awaitable):
    """SQLSTATE of the error the awaitable must raise."""
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        return error.sqlstate
    raise AssertionError("no error")


async def connect(db):
    equal(await db.fetchval("SELECT 1"), 1)
    equal(await state_of(asyncpg.connect(password="wrong " + os.environ["PGPASSWORD"])), "28P01")


async def types(db):
    for name, value in VALUES:
        equal(await db.fetchval(f"SELECT $1::{name}", value), value)
    ident = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    equal((await db.fetchval("SELECT $1::uuid", ident)).bytes, ident.bytes)


async def simple(db):
    equal(await db.execute("CREATE TEMP TABLE plain (id int); INSERT INTO plain VALUES (1), (2)"), "INSERT 0 2")
    equal(await db.fetchval("SELECT count(*) FROM plain"), 2)
    equal(await state_of(db.execute("INSERT INTO plain VALUES (3); SELECT 1 / 0")), "22012")
    equal(await db.fetchval("SELECT count(*) FROM plain"), 2)


async def prepared(db):
    statement = await db.prepare("SELECT $1::int8 * 2")
    for n in range(20):
        equal(await statement.fetchval(n), n * 2)
    await db.execute("CREATE TEMP TABLE many (n int8)")
    await db.executemany("INSERT INTO many VALUES ($1)", [[n] for n in range(100)])
    equal(await db.fetchval("SELECT sum(n)::int8 FROM many"), 4950)


async def errors(db):
    equal(await state_of(db.fetch("SELEC 1")), "42601")
    await db.execute("CREATE TEMP TABLE uniq (id int PRIMARY KEY)")
    await db.execute("INSERT INTO uniq VALUES (1)")
    try:
        await db.execute("INSERT INTO uniq VALUES ($1)", 1)
        raise AssertionError("no error")
    except asyncpg.UniqueViolationError as error:
        equal(error.constraint_name, "uniq_pkey")
    equal(await db.fetchval("SELECT count(*) FROM uniq"), 1)


async def transactions(db):
    await db.execute("CREATE TEMP TABLE kept (id int)")
    async with db.transaction():
        await db.execute("INSERT INTO kept VALUES (1)")
        inner = db.transaction()
        await inner.start()
        await db.execute("INSERT INTO kept VALUES (2)")
        await inner.rollback()
        await db.execute("INSERT INTO kept VALUES (3)")
    outer = db.transaction()
    await outer.start()
    await db.execute("INSERT INTO kept VALUES (4)")
    await outer.rollback()
    equal(await db.fetchval("SELECT array_agg(id ORDER BY id) FROM kept"), [1, 3])


async def pipeline(db):
    # asyncpg has no pipeline mode; executemany is its batch: all Binds and Executes before one Sync.
    await db.execute("CREATE TEMP TABLE batch (n int PRIMARY KEY)")
    await db.executemany("INSERT INTO batch VALUES ($1)", [[n] for n in range(500)])
    equal(await state_of(db.executemany("INSERT INTO batch VALUES ($1)", [[n] for n in (600, 5, 601)])), "23505")
    equal(await db.fetchval("SELECT count(*) FROM batch"), 500)


async def portal(db):
    async with db.transaction():
        rows = [record[0] async for record in db.cursor("SELECT generate_series(1, $1::int)", 50, prefetch=7)]
        equal(rows, list(range(1, 51)))
        cursor = await db.cursor("SELECT generate_series(1, 10)")
        equal([record[0] for record in await cursor.fetch(3)], [1, 2, 3])
        equal(await cursor.forward(4), 4)
        equal((await cursor.fetchrow())[0], 8)


async def copy(db):
    rows = [(1, "tab\there", None), (2, "line\nbreak", b"\x00\xff"), (3, "\\.", b"")]
    await db.execute("CREATE TEMP TABLE copied (id int4, note text, data bytea)")
    equal(await db.copy_records_to_table("copied", records=rows), "COPY 3")
    for options in ({}, {"format": "csv", "header": True}, {"format": "binary"}):
        out = io.BytesIO()
        equal(await db.copy_from_query("SELECT * FROM copied ORDER BY id", output=out, **options), "COPY 3")
        await db.execute("TRUNCATE copied")
        out.seek(0)
        equal(await db.copy_to_table("copied", source=out, **options), "COPY 3")
        equal([tuple(row) for row in await db.fetch("SELECT * FROM copied ORDER BY id")], rows)
    equal(await state_of(db.copy_to_table("copied", source=io.BytesIO(b"x\ty\tz\n"))), "22P02")
    equal(await db.fetchval("SELECT count(*) FROM copied"), 3)


async def cancel(db):
    # asyncpg keeps the server's 57014 to itself, so whether it has ended is asked on another connection.
    sleep = f"SELECT pg_sleep(30) /* asyncpg {os.getpid()} */"
    other = await asyncpg.connect()

    async def running():
        active = "SELECT count(*)::int FROM pg_stat_activity WHERE state = 'active' AND query = $1"
        return await other.fetchval(active, sleep)

    # A timeout sends a CancelRequest, and so does cancelling the task; what is sent next waits for both.
    begun = time.monotonic()
    try:
        await db.execute(sleep, timeout=0.3)
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:
        pass
    equal(await db.fetchval("SELECT 1"), 1)
    equal(await running(), 0)
    task = asyncio.ensure_future(db.execute(sleep))
    await asyncio.sleep(0.3)
    equal(await running(), 1)
    task.cancel()
    try:
        await task
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        pass
    equal(await db.fetchval("SELECT 2"), 2)
    equal(await running(), 0)
    await other.close()
    assert time.monotonic() < begun + 10, "the sleeps have ended by themselves"


async def notify(db):
    channel = f"asyncpg_{os.getpid()}"
    received = asyncio.get_running_loop().create_future()
    await db.add_listener(channel, lambda _db, pid, name, payload: received.set_result((name, payload)))
    other = await asyncpg.connect()
    await other.execute("SELECT pg_notify($1, $2)", channel, "from the other")
    await other.close()
    equal(await asyncio.wait_for(received, 10), (channel, "from the other"))


async def refusal(db):
    needs_rules()
    equal(await state_of(db.execute("DELETE FROM refused_table")), "42501")
    equal(await state_of(db.prepare("DELETE FROM refused_table RETURNING id")), "42501")
    equal(await db.fetchval("SELECT count(*) FROM refused_table"), 3)


async def refusal_in_transaction(db):
    needs_rules()
    await db.execute("CREATE TEMP TABLE undone (id int)")
    await db.execute("BEGIN")
    await db.execute("INSERT INTO undone VALUES ($1)", 1)
    equal(await state_of(db.fetch("DELETE FROM refused_table")), "42501")
    equal(await state_of(db.fetch("SELECT 1")), "25P02")
    equal(await db.execute("COMMIT"), "ROLLBACK")
    equal(await db.fetchval("SELECT count(*) FROM undone"), 0)


CHECKS = [
    connect, types, simple, prepared, errors, transactions, pipeline, portal, copy, cancel, notify, refusal,
    refusal_in_transaction,
]


async def main():
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        try:
            db = await asyncpg.connect()
            try:
                await asyncio.wait_for(check(db), 60)
            finally:
                await db.close(timeout=5)
            report(name)
        except Exception as error:
            report(name, error)


asyncio.run(main())
