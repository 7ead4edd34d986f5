"""The command line: `portcullis <verb>`, or `python -m workers <verb>`. See `portcullis --help` and `workers/cli/`."""

from workers.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
