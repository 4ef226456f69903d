"""`python -m dragoman`: the same as the command `dragoman`."""

import sys

from dragoman.cli import main

sys.exit(main())
