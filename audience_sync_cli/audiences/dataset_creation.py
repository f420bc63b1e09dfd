"""Creates datasets of Ads Data Manager, and shares them: `audience-sync audiences create --api data-manager`."""

import time
from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.data_manager.dataset_settings import UNKNOWN_HERE, new_dataset
from audience_sync.audiences.datasets import NO_ERASURE, UNCHANGEABLE
from audience_sync.errors import InvalidAudience
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import WrongUsage, sentence
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.settings_faults import OPTIONS, options, wrong_usage
from audience_sync_cli.stack import share_text
from audience_sync_cli.stack.creating import datasets_of, name_prefix
from audience_sync_cli.stack.datasets import link_command, report_shares
from audience_sync_cli.stack.denial import explaining_denial
from audience_sync_cli.stack.presentation import audience_json

CREATE_TIMEOUT = 60.0  # seconds for a dataset and all its shares
_USE_SHARE = "Use --share, such as --share advertiser=ID,marketplace=US."
_LEAVE_OUT = "Leave it out, or create the audience without --api data-manager."
_SENTENCES = {
    field: (
        f"{OPTIONS[field]} is not possible with --api data-manager: {rule.replace('ttl', 'time to live')}.",
        _USE_SHARE if field in ("advertiserId", "connectionId", "dsp") else _LEAVE_OUT,
    )
    for field, rule in UNKNOWN_HERE.items()
}


def create_dataset(session: Session, extras: Mapping[str, Any]) -> None:
    """Create a dataset, share it, list it, and report it. Raises WrongUsage."""
    amazon = session.data_manager
    try:
        wanted = new_dataset(extras, name_prefix=name_prefix(session))
    except InvalidAudience as error:
        raise wrong_usage(error, _SENTENCES) from None
    if not amazon.can_erase:
        session.screen.confirm(f"{sentence(NO_ERASURE)} Create it?")
    with (
        session.log.line("audiences create") as line,
        session.screen.progress("creating"),
        explaining_denial(session),
    ):
        made = datasets_of(session, name_prefix(session)).create(extras, deadline=time.monotonic() + CREATE_TIMEOUT)
        line["audienceId"] = made.audience_id
    listed, screen = made.listed, session.screen
    existed = "" if made.is_new else " (it was listed already)"
    screen.say(f"Dataset {made.audience_id}: {listed.name}{existed}.", style="green")
    if wanted.name != wanted.segment_name:
        screen.say(f"Amazon's names have no spaces and no dots; at Amazon it is {wanted.name}.")
    if made.differs:
        screen.note(f"Differs from the request: {options([*made.differs])}. {UNCHANGEABLE}.", style="yellow")
    screen.say("")
    report_shares(session, listed, made.shares)
    if not listed.computation_key:
        screen.say(f"Next, link it to the Segment audience: {link_command(listed, '--key KEY')}.")
    more = {"created": made.is_new, "differs": [{"field": name, "remedy": each} for name, each in made.differs.items()]}
    shares = [share_text.share_json(each) for each in made.shares]
    screen.result(audience_json(listed) | more | {"datasetName": wanted.name, "shares": shares})


def refuse_update(audience: Audience) -> None:
    """Refuse to change a dataset at Amazon. Raises WrongUsage."""
    raise WrongUsage(
        "A dataset cannot be changed at Amazon, and has no time to live or fee.",
        f"Change its name, country and key in the stack with {link_command(audience, '...')}, and its targets with"
        " `audience-sync audiences share` and `unshare`; for anything else, create another dataset.",
    )
