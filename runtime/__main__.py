"""`python -m dragoman.runtime`."""

import sys

from dragoman.runtime.commands import main

sys.exit(main())
