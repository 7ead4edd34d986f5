"""Mail that comes back: reports that a letter could not be delivered (RFC 3464), and whatever else arrives at their address.

    message ─▶ report (what does it say) ─▶ origin (is it about a letter of ours, proved) ─▶ taking (write it down)

Repeat-safe: what a report changes is the state of one letter, conditional on the state it had, and the address's entry on the suppression
list, in one statement. The second time there is nothing left to change.
"""

from jobs.bounces.report import LONGEST_READ, Unusable, Uselessness
from jobs.bounces.taking import Reader, Result, Taken

__all__ = ["LONGEST_READ", "Reader", "Result", "Taken", "Unusable", "Uselessness"]
