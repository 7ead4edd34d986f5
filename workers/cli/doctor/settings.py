"""Every variable of the configuration, all faults at once."""

from workers.cli.doctor.findings import Finding, fault, ok
from workers.settings import ConfigurationError, Settings


def check() -> list[Finding]:
    """Read the whole environment as a worker would."""
    try:
        Settings.load()
    except ConfigurationError as error:
        return [fault(line, "Set it in the environment of every process.") for line in error.faults]
    return [ok("every variable is there and well-formed")]
