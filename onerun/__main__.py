"""`python -m onerun` is the command `onerun`."""

from onerun.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
