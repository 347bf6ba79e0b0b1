"""``python -m ablate`` is the same as ``ablate``."""

from ablate.cli.app import main

if __name__ == "__main__":
    main()
