"""Runs checks and prints one line of JSON for each, as ../README.md describes."""

import json
import os
import traceback

DIRECT = os.environ["DRIVER_TARGET"] == "direct"


class Skipped(Exception):
    """The check says nothing about this target."""


def needs_rules():
    if DIRECT:
        raise Skipped("skipped: direct")


def equal(actual, expected):
    if actual != expected or type(actual) is not type(expected):
        raise AssertionError(f"got {actual!r}, expected {expected!r}")


def report(check, error=None):
    skipped = isinstance(error, Skipped)
    detail = str(error) if skipped else "".join(traceback.format_exception(error)) if error else ""
    print(json.dumps({"check": check, "ok": error is None or skipped, "detail": detail}), flush=True)
