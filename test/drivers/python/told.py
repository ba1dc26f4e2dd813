"""psycopg as tests tell it, see ../told-clients.ts."""

import json
import os
import queue
import socket
import sys
import threading
import urllib.parse

import psycopg

speaking = threading.Lock()
connections = {}


def answer(number, **fields):
    with speaking:
        print(json.dumps({"id": number, **fields}), flush=True)


class Told:
    """One connection, and the thread that waits for it."""

    def __init__(self):
        self.db = None
        self.commands = queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            number, action = self.commands.get()
            try:
                answer(number, rows=action())
            except Exception as error:
                answer(number, code=getattr(error, "sqlstate", None) or "", message=str(error))

    def open(self, command):
        names = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}
        access = {name: command[key][0] for name, key in names.items()}
        self.db = psycopg.connect(**access, sslmode="disable", autocommit=True)
        return 0

    def run(self, command):
        values = [int(value) for value in command.get("value", [])]
        cursor = self.db.execute(command["sql"][0].replace("?", "%s"), values or None)
        return max(cursor.rowcount, 0)

    def pipeline(self, command):
        with self.db.pipeline():
            cursors = [self.db.execute(sql) for sql in command["sql"]]
        return sum(max(cursor.rowcount, 0) for cursor in cursors)

    def batch(self, command):
        cursor = self.db.cursor()
        cursor.executemany(command["sql"][0].replace("?", "%s"), [(int(value),) for value in command["value"]])
        return cursor.rowcount

    def abort(self):
        socket.socket(fileno=os.dup(self.db.fileno())).shutdown(socket.SHUT_RDWR)


def obey(command):
    number, what, on = int(command["id"][0]), command["do"][0], command["on"][0]
    told = connections.setdefault(on, Told()) if what == "open" else connections[on]
    if what in ("cancel", "abort"):
        try:
            told.db.cancel() if what == "cancel" else told.abort()
            answer(number, rows=0)
        except Exception as error:
            answer(number, code="", message=str(error))
        return
    action = {"open": told.open, "run": told.run, "pipeline": told.pipeline, "batch": told.batch}[what]
    told.commands.put((number, lambda: action(command)))


for line in sys.stdin:
    obey(urllib.parse.parse_qs(line.rstrip("\n"), keep_blank_values=True))
