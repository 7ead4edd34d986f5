"""What is wrong with the call, rather than with what a member typed. Named by the condition; each says what to do."""

from jobs.client import Id


class SecondFactorError(Exception):
    """The second factor can't do what was asked; nothing was changed."""


class InTransaction(SecondFactorError):  # noqa: N818 -- these are named by the condition, as in jobs.client
    """A code was to be checked inside a transaction."""

    def __init__(self) -> None:
        super().__init__(
            "A code was to be checked inside a transaction. Check it on a connection without one, before you begin yours: an attempt is "
            "counted and committed before the code is looked at, and a rollback would forget it."
        )


class NotInTransaction(SecondFactorError):  # noqa: N818 -- as above
    """A sign-in asked outside of a transaction."""

    def __init__(self) -> None:
        super().__init__(
            "Whether a sign-in needs a second factor must be asked in the transaction that writes the session, or the lock that holds off "
            "a change of factors is gone before it is written."
        )


class NoReason(SecondFactorError):  # noqa: N818 -- as above
    """An admin's reset without a reason."""

    def __init__(self) -> None:
        super().__init__("A reset needs a reason of 1 to 500 characters, in words that the member and an auditor understand.")


class OwnFactor(SecondFactorError):  # noqa: N818 -- as above
    """An admin wanted to reset their own factor."""

    def __init__(self, user_id: Id) -> None:
        self.user_id = user_id
        super().__init__(f"User {user_id} can't reset their own factor; they remove or replace it with a code or a recovery code.")


class NoFactor(SecondFactorError):  # noqa: N818 -- as above
    """There is nothing to reset."""

    def __init__(self, user_id: Id) -> None:
        self.user_id = user_id
        super().__init__(f"User {user_id} has no factor of Portcullis; there is nothing to reset.")


class NotTheirOrganization(SecondFactorError):  # noqa: N818 -- as above
    """An admin wanted to reset somebody of another organization."""

    def __init__(self, user_id: Id, organization_id: Id) -> None:
        self.user_id, self.organization_id = user_id, organization_id
        super().__init__(f"User {user_id} is not a member of organization {organization_id}; an admin resets members of their own.")


class LastAdmin(SecondFactorError):  # noqa: N818 -- as above
    """Nobody who complies would be left to run the organization."""

    def __init__(self, user_id: Id, organizations: tuple[object, ...]) -> None:
        self.user_id, self.organizations = user_id, organizations
        named = ", ".join(str(organization) for organization in organizations)
        super().__init__(
            f"User {user_id} is the last admin who complies in organization {named}; without their factor nobody could run it. "
            "Let another admin set up two-factor authentication first, or reset with override=True, which is recorded."
        )
