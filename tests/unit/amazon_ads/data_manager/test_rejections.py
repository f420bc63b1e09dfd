"""Which members of an upload are refused, whatever the answer looks like."""

from typing import Any

import pytest

from audience_sync.amazon_ads.data_manager.rejections import rejected_members
from audience_sync.errors import RequestRejected

NOT_AN_INDEX: list[Any] = [None, "0", 0.5, -1, True, float("nan"), float("inf"), 2**70, []]


def errors(*indices: Any) -> dict[str, Any]:
    return {"errors": [{"index": index, "code": "400"} for index in indices]}


@pytest.mark.parametrize(
    ("answer", "sent", "places", "first"),
    [
        pytest.param({}, 3, set(), None, id="no errors"),
        pytest.param({"errors": []}, 3, set(), None, id="an empty list"),
        pytest.param({"errors": None}, 3, set(), None, id="null"),
        pytest.param(errors(0), 3, {0}, 0, id="the first, from 0"),
        pytest.param(errors(0, 2.0), 3, {0, 2}, 0, id="others, also as floats"),
        pytest.param(errors(0, 1, 2), 3, {0, 1, 2}, 0, id="all, from 0"),
        pytest.param(errors(3), 3, {2}, 1, id="the number sent: from 1"),
        pytest.param(errors(1, 3), 3, {0, 2}, 1, id="then all of them count from 1"),
        pytest.param(errors(2, 1, 3), 3, {0, 1, 2}, 1, id="all, from 1"),
        pytest.param(errors(0, 0), 3, {0}, 0, id="one member twice"),
        pytest.param(errors(0), 1, {0}, 0, id="the only member, from 0"),
        pytest.param(errors(1), 1, {0}, 1, id="the only member, from 1"),
        *[
            pytest.param(errors(index), 1, {0}, None, id=f"the only member, as {index!r}")
            for index in NOT_AN_INDEX[:-1]
        ],
        pytest.param({"errors": ["?"]}, 1, {0}, None, id="the only member, in another form"),
        pytest.param({"errors": {"0": "?"}}, 1, {0}, None, id="the only member, in another form of list"),
    ],
)
def test_rejected_members_are_found_by_index_from_0_or_from_1(
    answer: dict[str, Any], sent: int, places: set[int], first: int | None
) -> None:
    rejected, shown = rejected_members(answer, sent)
    assert ({*rejected}, shown) == (places, first)


@pytest.mark.parametrize(("first", "places"), [(0, {1, 2}), (1, {0, 1})])
def test_ambiguous_indices_are_read_as_in_an_earlier_answer(first: int, places: set[int]) -> None:
    rejected, shown = rejected_members(errors(1, 2), 3, first)
    assert ({*rejected}, shown) == (places, first)
    assert rejected_members({}, 3, first) == ({}, first)
    assert rejected_members(errors(3 - 3 * first), 3, first)[1] == 1 - first, "what an answer shows counts more"


@pytest.mark.parametrize(
    "answer",
    [
        *[pytest.param(errors(0, index), id=f"an index of {index!r}") for index in NOT_AN_INDEX],
        pytest.param(errors(1), id="the second from 0, or the first from 1"),
        pytest.param(errors(4), id="beyond the members"),
        pytest.param(errors(0, 3), id="from 0 and from 1"),
        pytest.param({"errors": [{}]}, id="no index"),
        pytest.param({"errors": [{"index": 0}, "?"]}, id="no object"),
        pytest.param({"errors": "?"}, id="no list"),
    ],
)
def test_an_upload_is_rejected_whole_if_the_answer_does_not_show_which_members_are(answer: dict[str, Any]) -> None:
    with pytest.raises(RequestRejected, match="does not say which") as caught:
        rejected_members(answer, 3)
    assert caught.value.status == 400


def of_reasons(*reasons: Any) -> dict[str, Any]:
    return {"errors": [*reasons]}


INVALID = {"errorCode": 1017, "errorMessage": "value is not a hash", "errorType": "INVALID_VALUE"}
NO_HASH = "members[7].userIdentity.hashedPiis[0].em is invalid"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        pytest.param({}, 400, "", id="nothing"),
        pytest.param({"code": "422"}, 422, "", id="a status"),
        pytest.param({"code": "INVALID"}, 400, "", id="another code"),
        pytest.param({"code": 400, "details": []}, 400, "", id="other types"),
        pytest.param(
            {"code": "400", "details": NO_HASH} | of_reasons(INVALID),
            400,
            f": 1017 INVALID_VALUE value is not a hash {NO_HASH}",
            id="codes and words",
        ),
        pytest.param(
            of_reasons({"errorCode": 12065550199, "errorMessage": "ada@example.com is unknown"}),
            400,
            ": … is unknown",
            id="nothing of the person",
        ),
        pytest.param(
            of_reasons({"errorCode": 1_234_567}, {"errorCode": 123_456}),
            400,
            ": 123456",
            id="no number that is too long for a code",
        ),
        pytest.param(of_reasons("?", {"errorCode": 7}, None), 400, ": 7", id="odd entries"),
    ],
)
def test_a_rejection_has_amazons_code_and_redacted_message(error: dict[str, Any], status: int, message: str) -> None:
    rejected, _ = rejected_members({"errors": [error]}, 1)
    assert (rejected[0].status, str(rejected[0])) == (status, f"Amazon refuses the member{message}")
    assert len(str(rejected_members({"errors": [{"details": "value " * 150}]}, 1)[0][0])) < 250
