"""Entry point of `python -m dragoman.runtime`: the commands that need no training extras."""

import sys

from dragoman.runtime.commands import main

sys.exit(main())
