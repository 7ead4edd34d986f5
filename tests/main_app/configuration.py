"""What the reference main app is told: the same variables as Portcullis's own processes, read by the same rules."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from jobs.keys import KeyRing
from workers.settings import DatabaseSettings, KeySettings, Relay, RelaySettings

PRODUCT = "Kestrel"
"""Stands in pages, and as the issuer in authenticator apps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """`app_url`: where browsers find the app, without a slash at the end."""

    database_url: str = field(repr=False)
    keys: KeyRing
    relay: Relay
    mail_from: str
    app_url: str

    @classmethod
    def load(cls, app_url: str, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the environment.

        Raises:
            ConfigurationError: With every fault of one part.
        """
        relay = RelaySettings.load(environment)
        return cls(
            database_url=DatabaseSettings.load(environment).database_url.get_secret_value(),
            keys=KeySettings.load(environment).key_ring,
            relay=relay.relay,
            mail_from=relay.mail_from,
            app_url=app_url,
        )
