"""Judge every letter and print what was found; see the package. Ends with 0 only if every check could be made and found nothing."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.letters_check import tools
from tests.letters_check.findings import Finding
from tests.letters_check.judging import judge
from tests.letters_check.letters import every_letter, part


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.letters_check", description=__doc__)
    parser.add_argument("--no-install", action="store_true", help="use the tools that are there, and install none")
    parser.add_argument("--part", action="store_true", help="every kind and every language once, not each with each")
    parser.add_argument("--pictures", type=Path, help="keep what Chromium showed in this folder, four files a letter")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON document")
    given = parser.parse_args()
    found = tools.find() if given.no_install else tools.install()
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    letters = every_letter()
    findings = judge(part(letters) if given.part else letters, found, given.pictures)
    if given.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for finding in findings for line in _lines(finding)))
    for missing in found.missing():
        sys.stderr.write(f"Missing: {missing}\n")
    if found.missing():
        sys.stderr.write("  What to do: install them, or run this as root on Debian, where it installs them itself.\n")
    return 0 if all(finding.passed for finding in findings) else 1


def _lines(finding: Finding) -> list[str]:
    if finding.missing:
        return [f"----  {finding.check:<14}  not looked at: {finding.missing}"]
    verdict = "FAIL" if finding.faults else "ok"
    return [
        f"{verdict:<4}  {finding.check:<14}  {finding.letters:>4} letters  {finding.closest}".rstrip(),
        *(f"        {fault.letter}: {fault.what}" for fault in finding.faults),
    ]


if __name__ == "__main__":
    sys.exit(main())
