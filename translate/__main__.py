"""Entry point of `python -m dragoman.translate`."""

import sys

from dragoman.translate.commands import main

sys.exit(main())
