#!/usr/bin/env python
"""Django's command line for FOCSAL."""

import os
import sys


def main() -> None:
    from focsal.shell import adopt

    adopt(os.environ, sys.argv[1:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
