"""Runs checks in the order of their definition and prints a line for each: `ok NAME` or `not ok NAME`."""

import sys
import traceback
from collections.abc import Callable

failed = False


def check(name: str) -> Callable[[Callable[[], None]], None]:
    """Runs the decorated function at once as the check of this name."""

    def run(function: Callable[[], None]) -> None:
        global failed
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception:
            failed = True
            print(f"not ok {name}", flush=True)
            traceback.print_exc()

    return run


def finish() -> None:
    sys.exit(1 if failed else 0)
