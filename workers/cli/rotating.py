"""Rotation of keys: seal every second-factor secret under the ring's current key."""

from jobs.second_factor.rotation import Progress
from jobs.second_factor.rotation import rotate as rotate_secrets
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.options import AsJson
from workers.cli.screen import note, tell, tell_json
from workers.logs import configure_logs
from workers.settings import KeySettings


async def rotate(*, as_json: AsJson = False) -> ExitCode:
    """Seal every second-factor secret under the ring's first key, so that older keys can leave the ring.

    Safe under traffic and repeatable. Put the new key first in PORTCULLIS_KEYS everywhere, keep the old ones behind it, then run this until
    nothing is left. Exits with 1 while something is. Needs DATABASE_URL and PORTCULLIS_KEYS; where there are roles,
    `portcullis_rotator`'s rights.

    ```console
    $ portcullis rotate
    ```
    """
    keys = KeySettings.load().key_ring
    configure_logs("console")  # to standard error: standard output is for the result
    progress = Progress(resealed=0, left=0, unreadable=0)
    async with connected() as db:
        async for progress in rotate_secrets(db, keys):
            if not as_json:
                note(f"{progress.resealed:,} sealed anew, {progress.left:,} left")
    if as_json:
        tell_json({"key": keys.keys[0].id, "resealed": progress.resealed, "left": progress.left, "unreadable": progress.unreadable})
    else:
        tell(_summary(progress, keys.keys[0].id))
    return ExitCode.OK if progress.left == 0 else ExitCode.REFUSED


def _summary(progress: Progress, key_id: str) -> str:
    if progress.left == 0:
        return f"Every secret is sealed under {key_id}, {progress.resealed:,} of them just now. Older keys may leave the ring."
    if progress.unreadable:
        return (
            f"{progress.left:,} secrets are left, {progress.unreadable:,} of which no key of the ring opens: "
            "put the key back that sealed them, or have those members' factors reset."
        )
    return f"{progress.left:,} secrets are left: a process still seals with an older ring. Restart it, then run this again."
