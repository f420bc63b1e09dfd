"""Redacts Amazon's messages: keeps only known words, codes, field paths and counts.

Messages go into logs, answers and dead letters, and may quote our request. Personal data cannot be recognized by its
form: a name looks like any word. So anything unknown is left out.
"""

import re

from audience_sync.fields import FIELDS

MAX_QUOTED = 200  # characters
_MAX_READ = 1000  # characters; no useful message is longer
_LEFT_OUT = "…"

# Arrays may have a position: records[17], records.17 or /records/17.
_ARRAYS = frozenset(
    """records hashedPII targetTypes audienceFees invalidRecords
    members hashedPiis externalIdentities targetIdentities datasetIds statuses errors""".split()
)

# Source: Amazon's OpenAPI files "Advertiser audiences" and "Ads Data Manager" 3.0. Single words, such as `email`, are
# among the words below.
_FIELDS = _ARRAYS.union(
    (name for field in FIELDS for name in (field.amazon_name, field.sent_name, field.data_manager_name)),
    """userConsent targetResource connectionId externalAudienceId audienceFees cpmCents advertiserId jobRequestId
    jobState externalId agreementToken hasAccepted isDefault amcAccountId amcAccountMarketplaceId amcInstanceId
    dspAdvertiserId dspProfileId
    dataSetId datasetId dataroom amcMetadata ingressId""".split(),
)

# Vocabulary of such messages: Amazon's documented errors and states, and the usual words of validation. No word that
# is mostly a name or a part of an address. `Long`, also a name, is a type in Amazon's conversion errors.
_WORDS = frozenset(
    """
    a about accept acceptable accepted access account accounts action active add added addition additional address
    adequate ads advertiser advertisers advertising after again agreement all allowed already amazon amc amzn an and
    another answer any api application approved are argument array as associated at attempt attribute audience
    audiences authenticated authentication authorization authorized authorizing available bad batch be because been
    before being belong belongs between blank blocked bodies body boolean both but by bytes call campaign can can't
    canceled cancelled cannot case change changed character characters check city client code codes completed
    conflict connection connections consent consented constraint contain contained contains content conversion
    convert converted could count country cpm create created currency data dataset datasets date dates days decimal
    default delete deleted denied description destination details detected different digest digits disabled
    documented does doesn't don't double dsp duplicate duplicated each edit element elements eligible else email
    emails empty enabled encoded encoding enough ensure entities entity entries entry enum error errors exactly
    exceed exceeded exceeds exception exist exists expected expects expired external failed failure false fault fee
    fees few field fields first firstname following for forbidden form format found from gateway geo given gpp
    granted greater had has hash hashed hashes have held hex hexadecimal hold holds hour hours http id identifier
    identifiers identities identity ids if ignored in incomplete incorrect index ineligible input instance instances
    insufficient integer internal into invalid ip is isn't issue it its job jobs json key keys known large larger
    last lastname later least length less limit limits link linked list long longer lower lowercase malformed
    manager many map marketplace match matched matches matching maximum measurements media member members merge
    message metadata method minimum minute minutes mismatch missing more most must name named names needed neither
    new no none nor normalization normalized not nothing null number numbers numeric object objects occurred of off
    old on once one only operation opted or other out over owner page parameter parameters parse parsed partially
    partiallysucceeded path pattern payload pending per permission permissions permitted phone pii plain plaintext
    please policy position positive possible postal present problem process processed processing profile profiles
    progress properties property provided queued range rate read reason received record records refresh refused
    regex region regular rejected removal remove removed repeated request requested requests require required
    requires resolution resolve resolved resource resources response retry revoked room rooms rule rules running
    same satisfy schema scope server service sha share shared shares sharing shorter should signal signals since
    size small smaller some something specified state status string strings structure submitted succeeded success
    successful such supplied supported suppressed syntax taken target targets tcf temporarily terms text than that
    the their there these this throttled throttling time timeout to token too trimmed true ttl two type types unable
    unauthorized unavailable unexpected unhashed unique unknown unprocessable unrecognized unsupported until update
    updated upload uploads upper uppercase used user users valid validated validation value values version view
    violation waiting was were when where which while with withdrawn without wrong you your zero
    """.split()
)
_LITERALS = frozenset(
    """application/json application/vnd.amcaudiences.v1+json application/vnd.amcaudiencesconnections.v1+json
    application/vnd.admmetrics.v1+json application/vnd.admAudiences.v1+json application/vnd.admDataDeletion.v1+json
    SHA-256 SHA256 UTF-8 E.164 ISO-8601 alpha-2 64-bit""".split()
)

_OPENING, _CLOSING = "\"'`(<{", "\"'`)>},;:.!?"  # punctuation around a word, kept
_PART = re.compile(r"([A-Za-z]+(?:[_'-][A-Za-z]+)*)(\[[0-9]{1,4}\])?")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+")
_INDEX = re.compile(r"[0-9]{1,4}")
# "100 records", "1 to 100 entries". A number without such a word may be part of a phone number or an address.
_COUNT = re.compile(
    r"""(?<!\S)((?:[0-9]{1,3}\ (?:to|and)\ )?(?:[0-9]{1,3}|1000|1,000|6000|6,000|10000|10,000)
    \ (?:characters|bytes|digits|entries|elements|identifiers|identities|members|objects|records|errors?|times)
    [.,;:]?)(?!\S)""",
    re.VERBOSE,
)


def redact(message: str) -> str:
    """Return the known words of Amazon's message, on one line, shortened, with "…" for each unknown stretch.

    Args:
        message: any text from Amazon.

    Returns:
        At most MAX_QUOTED characters: words, codes made of such words (INVALID_VALUE, ValidationException), field paths
        (records[17].hashedPII[0].email) and counts (100 records). Never an e-mail address, an IP address, a digest, a
        token or an id.
    """
    kept: list[str] = []
    for position, text in enumerate(_COUNT.split(" ".join(message[:_MAX_READ].split()))):
        is_count = position % 2 == 1
        for chunk in [text] if is_count else text.split():
            # After something unknown, a number may be part of it.
            is_known = kept[-1:] != [_LEFT_OUT] if is_count else _is_known(chunk)
            if is_known:
                kept.append(chunk)
            elif kept[-1:] != [_LEFT_OUT]:
                kept.append(_LEFT_OUT)
    return " ".join(kept)[:MAX_QUOTED]


def _is_known(chunk: str) -> bool:
    """Return whether a chunk is a literal, word, code or path, apart from surrounding punctuation."""
    core = chunk.lstrip(_OPENING).rstrip(_CLOSING)
    return core in _LITERALS or _is_path(core.removeprefix("$.").removeprefix("/"))


def _is_path(text: str) -> bool:
    """Return whether a string is a path of known names, or a single name."""
    array = ""  # the array whose position may follow
    for part in re.split(r"[./]", text):
        if array and _INDEX.fullmatch(part):
            array = ""
            continue
        found = _PART.fullmatch(part)
        if found is None or not _is_name(found[1]) or (found[2] and found[1] not in _ARRAYS):
            return False
        array = found[1] if found[1] in _ARRAYS and not found[2] else ""
    return True


def _is_name(text: str) -> bool:
    """Return whether a string is a field, a word, or a code made of words."""
    if text in _FIELDS or text.lower() in _WORDS:
        return True
    return all(hump.lower() in _WORDS for part in re.split("[_-]", text) for hump in _HUMP.findall(part))
