"""`audience-sync audiences list` and `show`: the audiences that events may reach, with size and match rate."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from audience_sync.amazon_ads.destination import reaches_dsp
from audience_sync.audiences.creation import with_ttl
from audience_sync.members.membership import Audience
from audience_sync.operations.renewal import is_renewed, renewal_age
from audience_sync_cli.audiences.published import Published, published
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.dataset_facts import is_dataset, show_dataset
from audience_sync_cli.stack.listed import AUDIENCE, find, same_key
from audience_sync_cli.stack.presentation import (
    audience_json,
    caveats_about,
    key_label,
    listed_fee,
    price,
    product_label,
    renewal,
    size,
    target_label,
)

app = typer.Typer()


@command(app, "list", "audiences list", "audiences list --unlinked", "audiences list --json | jq -r '.[].audienceId'")
def list_(
    session: Session,
    *,
    unlinked: Annotated[
        bool, typer.Option("--unlinked", help="List unlinked audiences, which only deletions still reach.")
    ] = False,
) -> None:
    """List the audiences that events may reach, with the numbers that the stack has published in the last 30 days.

    "changed" is the day since which the size is the same.
    """
    contents = session.audiences.contents()
    found = sorted(
        contents.unlinked if unlinked else contents.audiences, key=lambda each: (each.name, each.audience_id)
    )
    numbers = {} if unlinked else published(session, [each.audience_id for each in found])
    if unlinked and not found:
        session.screen.say("No audience is unlinked.")
    elif unlinked:
        session.screen.table(
            ("audience id", "name", "unlinked", "target", "moved to"),
            [
                (each.audience_id, each.name, moment(each.unlinked_at), target_label(each), each.moved_to or "")
                for each in found
            ],
        )
    elif found:
        session.screen.table(
            ("audience id", "name", "computation key", "target", "size", "matched", "changed"),
            [
                (each.audience_id, each.name, key_label(each), target_label(each), *_of(each, numbers).cells())
                for each in found
            ],
        )
    else:
        session.screen.say(
            "No audience is listed. Link one with `audience-sync audiences link`, or create one with "
            "`audience-sync audiences create`."
        )
    for sentence in caveats_about(found):
        session.screen.say(sentence)
    session.screen.result(
        [
            audience_json(each, same_key(each, contents.audiences)) | ({} if unlinked else _of(each, numbers).as_json())
            for each in found
        ]
    )


def _of(audience: Audience, numbers: Mapping[str, Published]) -> Published:
    return numbers.get(audience.audience_id, Published())


@command(app, "show", "audiences show lapsed_premium_buyers")
def show(session: Session, audience: AUDIENCE) -> None:
    """Show one audience: its settings, and its size and match rate at Amazon; of a dataset also its shares.

    `audience-sync dashboard` shows size and match rate over time.
    """
    known = find(session, audience)
    others = same_key(known, session.audiences.all())
    session.screen.result(show_dataset(session, known, others) if is_dataset(known) else _show(session, known, others))


def _show(session: Session, known: Audience, others: Sequence[Audience]) -> dict[str, Any]:
    report = session.amazon.read_audience(known.audience_id)
    received, matched, in_dsp = report.sizes.received, report.sizes.matched, report.sizes.dsp
    rate = f"{report.sizes.match_rate:.1f}%" if report.sizes.match_rate is not None else "not known yet"
    fees = report.fees or listed_fee(known)
    session.screen.facts(
        {
            "audience id": known.audience_id,
            "name": report.name or known.name,
            "description": report.description,
            "country": known.country,
            "target": target_label(known),
            "members go to": product_label(known),
            "computation key": key_label(known, others),
            "external audience id": known.external_audience_id,
            "time to live": f"{report.ttl / DAY:g} days" if report.ttl is not None else "397 days (Amazon's default)",
            "fee": price(fees),
            "renewal": renewal(known),
            "records at Amazon": size(received),
            "matched": size(matched),
            "match rate": rate,
            "in Amazon DSP": size(in_dsp),
        }
    )
    if is_renewed(known) and renewal_age(known) != renewal_age(with_ttl(known, report)):
        remedy = "Set it with `audience-sync audiences update --ttl-days`, so that both match."
        session.screen.note(f"Renewal uses a different time to live than Amazon. {remedy}", style="yellow")
    at_amazon = {"received": received, "matched": matched, "inDsp": in_dsp, "ttl": report.ttl}
    delivery = {
        "dsp": reaches_dsp(known),
        "fees": [{"cpmCents": each.cpm_cents, "currency": each.currency} for each in fees],
    }
    return {"audience": audience_json(known, others), "amazon": at_amazon} | delivery
