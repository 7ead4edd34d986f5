"""Only `make interop` runs these: they need root, other people's mail servers, and minutes."""

import os

collect_ignore_glob = [] if os.environ.get("PORTCULLIS_INTEROP") else ["test_*.py"]
