"""`python -m edictum_guard.driver`."""

from . import main

raise SystemExit(main())
