"""`python -m dragoman.export`: the same as the command `dragoman`."""

import sys

from dragoman.export.cli import main

sys.exit(main())
