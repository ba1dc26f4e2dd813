"""Logs in by OAUTHBEARER with the libpq named first, to the connection string named second; prints a row of the query named third.

The token is in $TOKEN: a program that has one gives it to libpq by a hook (PostgreSQL manual, libpq, OAuth Support).
"""

import ctypes
import os
import sys

PQAUTHDATA_OAUTH_BEARER_TOKEN = 1


class BearerRequest(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("start", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


libpq = ctypes.CDLL(sys.argv[1])
for name in ("PQconnectdb", "PQexec"):
    getattr(libpq, name).restype = ctypes.c_void_p
for name in ("PQerrorMessage", "PQgetvalue"):
    getattr(libpq, name).restype = ctypes.c_char_p

HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
token = os.environ["TOKEN"].encode()


def give_token(kind, _connection, data):
    if kind != PQAUTHDATA_OAUTH_BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(BearerRequest)).contents
    print("asked for a token of", request.openid_configuration.decode())
    request.token = token
    return 1


hook = HOOK(give_token)
libpq.PQsetAuthDataHook(hook)
connection = ctypes.c_void_p(libpq.PQconnectdb(sys.argv[2].encode()))
if libpq.PQstatus(connection) != 0:
    sys.exit(libpq.PQerrorMessage(connection).decode())
result = ctypes.c_void_p(libpq.PQexec(connection, sys.argv[3].encode()))
if libpq.PQresultStatus(result) != 2:
    sys.exit(libpq.PQerrorMessage(connection).decode())
print(libpq.PQgetvalue(result, 0, 0).decode())
