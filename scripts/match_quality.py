"""Compare our hashes, and those of Segment's destination, with the ones that the tests of AWS's AMC Uploader expect.

python -m scripts.match_quality PATH    # a clone of github.com/aws-solutions/amazon-marketing-cloud-uploader-from-aws
"""

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path

from audience_sync.amazon_ads.normalize import normalize
from audience_sync.fields import IDENTIFIERS

COLUMNS = {each.name: "zip" if each.name == "postal" else each.name for each in IDENTIFIERS}  # of the tests, by field
AS_E164 = "phone, as +E.164"


def as_segment_normalizes(field: str, value: str) -> str:
    """Apply the filters of Segment's destination: amazon-amc/function.ts in segmentio/action-destinations."""
    dropped = {"email": "[^a-z0-9.@-]", "phone": "[^0-9]"}.get(field, "[^a-z0-9]")
    return re.sub(dropped, "", value.lower())


def compared(clone: Path) -> Iterator[tuple[str, bool, bool]]:
    """Yield for each expected hash its field, and whether ours and Segment's equal it."""
    for path in sorted(clone.glob("source/tests/**/*_raw.json")):
        country = path.name.removesuffix("_raw.json")
        expected = {str(each["id"]): each for each in json.loads(path.with_name(f"{country}_check.json").read_bytes())}
        for person, (field, column) in product(json.loads(path.read_bytes()), COLUMNS.items()):
            hashed, value = expected[str(person["id"])].get(column, _hash("")), person.get(column)
            if hashed != _hash(""):  # nothing to hash
                ours = normalize(field, value, country) or ""
                yield field, _hash(ours) == hashed, _hash(as_segment_normalizes(field, value)) == hashed
                if field == "phone":
                    yield AS_E164, _hash(ours) == hashed, _hash(as_segment_normalizes(field, f"+{ours}")) == hashed


def report(clone: Path) -> str:
    """Return a line for each field: how many hashes are expected, and the shares that ours and Segment's equal."""
    found, lines = list(compared(clone)), [f"{'field':<16}  hashes  Audience Sync  Segment"]
    if not found:
        raise SystemExit(f"no source/tests/**/*_raw.json in {clone}: name a clone of the uploader")
    for name in (*COLUMNS, AS_E164, "all"):
        rows = [row[1:] for row in found if row[0] == name or (name == "all" and row[0] != AS_E164)]
        shares = [f"{100 * sum(column) / len(rows):.1f} %" for column in zip(*rows, strict=True)] or ["", ""]
        lines.append(f"{name:<16}  {len(rows):>6,}  {shares[0]:>13}  {shares[1]:>7}")
    return "\n".join(lines)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(report(Path(*sys.argv[1:])) + "\n")
