"""`python -m dragoman.runtime`."""

import sys

from dragoman.runtime.cli import main

sys.exit(main())
