"""The driver of the Python host: requests as lines of JSON on stdin, answers on stdout (`docs/driver.md`)."""

from edictum_guard.driver import main

if __name__ == "__main__":
    raise SystemExit(main())
