"""`adk-sessions rm`: delete one session, or many by age, number or label; after asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import click
from attrs import frozen

from adk_extra_sessions.cli.asking import confirmed
from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import labels_option, selection
from adk_extra_sessions.cli.output import console, local_time
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.errors import CorruptRecordError, InputValidationError
from adk_extra_sessions.pruning import Pruned
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.transfer import Place
from adk_extra_sessions.transfer.places import store_of
from adk_extra_sessions.validation import checked_before


@click.command("rm")
@click.argument("url", metavar="PLACE")
@click.argument("names", metavar="[APP USER SESSION]", nargs=-1)
@click.option("--older-than", metavar="AGE", help='Only sessions not updated since: an age such as "30d", or a time.')
@click.option("--keep-last", type=click.IntRange(0), help="All but the newest so many of each user.")
@labels_option
@selection
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(
    ctx: click.Context,
    url: str,
    names: Sequence[str],
    older_than: str | None,
    keep_last: int | None,
    labels: Mapping[str, str],
    apps: Sequence[str],
    users: Sequence[str],
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete one session with its events; or many, by age, number or label. The state of users and apps stays."""
    many = older_than is not None or keep_last is not None or bool(labels)
    if names and (many or apps or users or dry_run):
        raise click.UsageError("Give one session's APP USER SESSION, or options that choose many; not both.")
    if not many and len(names) != 3:
        raise click.UsageError("Give APP USER SESSION, or --older-than, --keep-last or --label to choose many.")
    with opened(url, must_exist=True) as place:
        if many:
            ctx.exit(_delete_many(place, _Choice(apps, users, _moment(older_than), keep_last, labels), dry_run, yes))
        ctx.exit(_delete_one(place, SessionKey.of(*names), yes))


def _delete_one(place: Place, key: SessionKey, yes: bool) -> int:
    said = _described(place, key)
    if said is None:
        place.discard(key)  # events may be left of it
        console(stderr=True).print(f"{key} does not exist. Anything left of it has been deleted.")
        return 1
    if not yes and not confirmed(f"{said}. Delete it? This cannot be undone."):
        console(stderr=True).print("Nothing was deleted.")
        return 1
    place.discard(key)
    console(stderr=True).print("Deleted.")
    return 0


@frozen
class _Choice:
    """Which of many sessions to delete."""

    apps: Sequence[str]
    users: Sequence[str]
    before: float | None
    keep_last: int | None
    labels: Mapping[str, str]

    def prune(self, place: Place, work: Work, *, dry_run: bool) -> Pruned:
        """Deletes or counts them; `work` shows how many have been deleted, or looked at."""
        store, found = store_of(place, "Many sessions can be deleted"), Pruned()
        for app_name in self.apps or list(store.archive.app_names()):
            for user_id in self.users or (None,):
                found += store.prune_sessions(
                    app_name=app_name,
                    user_id=user_id,
                    before=self.before,
                    keep_last=self.keep_last,
                    labels=self.labels,
                    dry_run=dry_run,
                    progress=partial(_show, work, found, dry_run),
                )
        return found


def _show(work: Work, before: Pruned, dry_run: bool, so_far: Pruned) -> None:
    found = before + so_far
    work.reach(found.examined if dry_run else found.deleted)


def _delete_many(place: Place, choice: _Choice, dry_run: bool, yes: bool) -> int:
    with Work("looking") as work:
        found = choice.prune(place, work, dry_run=True)
    said = f"{found.deleted:,} of {found.examined:,} sessions"
    if dry_run or not found.deleted:
        console(stderr=True).print(f"Would delete {said}." if dry_run else "There is nothing to delete.")
        return 0
    if not yes and not confirmed(f"Delete {said}? This cannot be undone."):
        console(stderr=True).print("Nothing was deleted.")
        return 1
    with Work("deleting", found.deleted) as work:
        deleted = choice.prune(place, work, dry_run=False)
        stayed = f" {deleted.changed:,} were written to meanwhile and stay." if deleted.changed else ""
        work.say(f"Deleted {deleted.deleted:,} sessions, {work.pace()}.{stayed}")
    return 0


def _moment(older_than: str | None) -> float | None:
    try:
        return checked_before(older_than)  # once: the number that is shown is the number that is deleted
    except InputValidationError:
        example = "2026-01-31T00:00:00Z"
        text = f'must be an age such as "30d", or a time with its zone such as {example}; got {older_than!r}.'
        raise click.BadParameter(text, param_hint="--older-than") from None


def _described(place: Place, key: SessionKey) -> str | None:
    try:
        found = place.stream(key)
    except CorruptRecordError:
        return f"{key} cannot be read"
    if found is None:
        return None
    return f"{key} has {found.count:,} events, the last of {local_time(found.session.last_update_time)}"
