"""`python -m ostinato.cli`."""

import sys

from ostinato.cli.main import main

sys.exit(main())
