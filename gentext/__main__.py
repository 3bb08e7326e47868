"""`python -m gentext` is `gentext`."""

import sys

from gentext.cli import main

sys.exit(main())
