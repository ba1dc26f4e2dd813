"""psycopg 3 decodes masked rows, in text and in binary format, and what is copied out."""

import os

import psycopg

from report import equal, report


def decode(db, table):
    select = f"SELECT * FROM {table} ORDER BY id"
    for binary in (False, True):
        with db.cursor(binary=binary) as cursor:
            equal(len(cursor.execute(select).fetchall()), 2)
            equal(len(cursor.execute(select, prepare=True).fetchall()), 2)
            equal(len(cursor.execute(f"UPDATE {table} SET id = id RETURNING *").fetchall()), 2)
            types = [column.type_code for column in cursor.description]
            format = " (FORMAT binary)" if binary else ""
            with cursor.copy(f"COPY ({select}) TO STDOUT{format}") as stream:
                stream.set_types(types)
                equal(len(list(stream.rows())), 2)
        with db.transaction(), db.cursor("portions", binary=binary) as cursor:
            cursor.itersize = 1
            equal(len(cursor.execute(select).fetchall()), 2)
    with psycopg.ClientCursor(db) as cursor:
        equal(len(cursor.execute(select).fetchall()), 2)


for table in os.environ["MASKED_TABLES"].split():
    try:
        with psycopg.connect(autocommit=True) as db:
            decode(db, table)
        report(table)
    except Exception as error:
        report(table, error)
