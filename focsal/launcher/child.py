"""Runs a program that ends when its parent does: ``child.py [options] SIGNAL -- program args…``

Started as a file by ``python -I -S`` so that nothing of FOCSAL is imported; it replaces itself
by the program. Where the kernel can (Linux), the program gets SIGNAL when its parent dies, so that
even a launcher or supervisor killed with -9 leaves nothing running.

Options: ``--user UID:GID`` gives up root; ``--bare NAME…`` (comma separated) hands on only these
environment variables, so that PostgreSQL's user cannot read the platform's secrets.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def follow_parent(number: int) -> None:
    """Ask the kernel for ``number`` when the parent dies; elsewhere than on Linux do nothing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # It died in between.
        os.kill(os.getpid(), number)


def give_up_root(user: str) -> None:
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    parser = argparse.ArgumentParser(prog="child")
    parser.add_argument("--user", default="")
    parser.add_argument("--bare", default=None)
    parser.add_argument("signal")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    environment = dict(os.environ)
    if options.bare is not None:
        kept = options.bare.split(",")
        environment = {name: environment[name] for name in kept if name in environment}
    if options.user:
        give_up_root(options.user)
    # After the change of user, which clears the parent-death signal.
    follow_parent(signal.Signals[options.signal].value)
    os.execvpe(options.command[0], options.command, environment)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
