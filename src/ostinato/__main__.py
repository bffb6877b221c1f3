"""`python -m ostinato`."""

import sys

from ostinato.cli.main import main

sys.exit(main())
