"""``python -m dreampgc``: the same as the command ``dreampgc``."""

from dreampgc.cli import main

if __name__ == "__main__":
    main()
