"""The entry point `bohb-nas`, and of `python -m bohb_nas`: imports the command line, which takes a moment, and runs it."""

import sys


def main() -> None:
    """The command line. Ctrl-C ends it as click ends it, also while click is not there yet."""
    try:
        from bohb_nas import cli
    except KeyboardInterrupt:
        sys.exit("\nAborted!")
    cli.main()


if __name__ == "__main__":
    main()
