"""Print the catalogue of a language, brought up to date; see `sentences`."""

import sys

from jobs.letters.sentences import updated

if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one language
    sys.exit("usage: python -m jobs.letters LANGUAGE, such as fr or pt-BR")
sys.stdout.buffer.write(updated(sys.argv[1]))
