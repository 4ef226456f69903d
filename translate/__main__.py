"""`python -m dragoman.translate`."""

import sys

from dragoman.translate.cli import main

sys.exit(main())
