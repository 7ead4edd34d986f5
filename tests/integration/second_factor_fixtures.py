"""An app whose members may have a factor of Portcullis; a member, and their phone, bound already."""

from typing import Any

import asyncpg
import pytest

from tests.builders import a_member, an_organization
from tests.integration.second_factor_parts import COUNTED_BY_PORTCULLIS, Phone, enrolled


@pytest.fixture
async def app(db: asyncpg.Connection) -> asyncpg.Connection:
    await db.execute(COUNTED_BY_PORTCULLIS)
    return db


@pytest.fixture
async def user(app: asyncpg.Connection) -> Any:
    organization = await an_organization(app)
    return (await a_member(app, organization.id, sessions=())).id


@pytest.fixture
async def phone(app: asyncpg.Connection, user: Any) -> Phone:
    return await enrolled(app, user)
