"""Run the command line as ``python -m mementum``."""

import sys

from mementum.cli import main

sys.exit(main())
