"""The entry point `bohb-nas`, and of `python -m bohb_nas`: imports the command line, which takes a moment, and runs it."""

import io
import os
import sys


def main() -> None:
    """The command line. Ctrl-C ends it as click ends it, also while click is not there yet."""
    _open_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does: what its encoding lacks ends nothing
    try:
        from bohb_nas import cli
    except KeyboardInterrupt:
        sys.exit("\nAborted!")
    cli.main()


def _open_closed() -> None:
    """Leads standard streams that are closed nowhere: libraries write to them unasked, and the next file would take their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it has the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", errors="backslashreplace"))


if __name__ == "__main__":
    main()
