"""Runs a command that dies with the process that asked for it: `python _launch.py PARENT PROGRAM ARGUMENT…`.

A program of its own, replaced by the command: the request to the kernel survives `exec`, and nothing of ours runs
between fork and exec in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before the kernel knew
        sys.exit(1)
    try:
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - without a shell is what is wanted
    except OSError as e:
        sys.exit(f"{sys.argv[2]}: {e.strerror}")
