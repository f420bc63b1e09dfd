"""Output of an audience, for people and for scripts."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import Fee
from audience_sync.amazon_ads.destination import Api, advertiser_of, connection_of, is_known, name_of_api, reaches_dsp
from audience_sync.members.membership import Audience, FilledBy, MembershipChange, may_share_a_key
from audience_sync.members.messages import change_as_json
from audience_sync.operations.renewal import is_renewed, renewal_age
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.times import DAY


def audience_json(audience: Audience, same_key: Sequence[Audience] | None = None) -> dict[str, Any]:
    """Return an audience for the JSON output, with the ids of the others with its computation key, if given."""
    more: dict[str, Any] = {} if same_key is None else {"sharesKeyWith": [each.audience_id for each in same_key]}
    more |= {} if audience.unlinked_at is None else {"unlinkedAt": iso_time(audience.unlinked_at)}
    return {
        "audienceId": audience.audience_id,
        "name": audience.name,
        "country": audience.country,
        "api": name_of_api(audience.destination),
        "advertiserId": advertiser_of(audience.destination),
        "connectionId": connection_of(audience.destination),
        "computationKey": audience.computation_key,
        "also": audience.also,
        "movedTo": audience.moved_to,
        "externalAudienceId": audience.external_audience_id,
        "filledBy": audience.filled_by,
        "settings": {name: _plain(value) for name, value in audience.settings.items()},
        **more,
    }


def key_label(audience: Audience, same_key: Sequence[Audience] = ()) -> str:
    """Return the computation key, for people, and the other audiences that have it."""
    note = mark(audience) or ("also" if audience.also else "")
    key = f"{audience.computation_key or ''}{f' ({note})' if note else ''}".strip()
    others = ", ".join(f"{each.name or 'without a name'} ({each.audience_id})" for each in same_key)
    if others and not may_share_a_key([audience, *same_key]):
        return f"{key}, ambiguous with {others}: if all are meant, link all but one with --also"
    return f"{key}, shared with {others}" if others else key


def mark(audience: Audience) -> str:
    """Return that an audience was moved or keeps nobody, in words; empty if neither."""
    if audience.moved_to:
        return f"moved to {audience.moved_to}"
    return "ended" if audience.settings.get("ttl") == 0 else ""


def caveats_about(audiences: Sequence[Audience]) -> list[str]:
    """Return what removals from these audiences do not prove, in sentences; one with a time to live of 0 is empty."""
    sent = {FilledBy.OTHERS: "has sent", FilledBy.UNKNOWN: "may have sent (`audience-sync audiences link ID` asks)"}
    kept = [each for each in audiences if each.settings.get("ttl") != 0]
    named = {who: [each for each in kept if each.filled_by is who] for who in sent}
    return [
        f"Another system {sent[who]} identifiers to {', '.join(f'{each.name} ({each.audience_id})' for each in some)}: "
        "a removal names only those that this stack stores, so people may remain there."
        for who, some in named.items()
        if some
    ]


def _plain(value: Any) -> Any:
    """Return a DynamoDB number as a JSON number."""
    return int(value) if isinstance(value, Decimal) else value


def change_json(change: MembershipChange) -> dict[str, Any]:
    """Return a change for the JSON output: the form of the change queue, with the output's times."""
    fields = {"audienceId": change.audience_id, **change_as_json(change), "at": iso_time(change.at)}
    return fields | ({"namedAt": [*map(iso_time, fields["namedAt"])]} if "namedAt" in fields else {})


def target_label(audience: Audience) -> str:
    """Return the target of an audience, for people. A dataset's shares are known to Amazon only."""
    name = name_of_api(audience.destination)
    if name == Api.DATA_MANAGER:
        return "Ads Data Manager"
    if not is_known(audience.destination):
        return f"{name}, unknown to this version"
    if connection_id := connection_of(audience.destination):
        return f"connection {connection_id}"
    advertiser_id = advertiser_of(audience.destination)
    return f"DSP {advertiser_id}" if advertiser_id else "DSP"


def product_label(audience: Audience) -> str:
    """Return the Amazon products that the members of an audience reach."""
    if not connection_of(audience.destination):
        return "Amazon DSP"
    return "AMC and Amazon DSP" if reaches_dsp(audience) else "AMC, not Amazon DSP"


def listed_fee(audience: Audience) -> tuple[Fee, ...]:
    """Return the fee from the audience table, if any. Amazon may leave it out."""
    cents, currency = audience.settings.get("cpmCents"), audience.settings.get("currency")
    return () if cents is None or currency is None else (Fee(cents, currency),)


def price(fees: Sequence[Fee]) -> str:
    """Format an advertiser's fee."""
    amounts = ", ".join(f"{each.cpm_cents:,} cents {each.currency}" for each in fees)
    return f"{amounts} for a thousand impressions" if amounts else "none"


def renewal(audience: Audience) -> str:
    """Return whether active members are re-sent before their TTL expires, for people."""
    if not is_renewed(audience):
        return "off: members drop out when their time to live ends"
    return f"on: active members are re-sent after {renewal_age(audience) / DAY:g} days"


def size(count: int | None) -> str:
    """Format a size that Amazon reports."""
    return "not known yet" if count is None else f"{count:,}"
