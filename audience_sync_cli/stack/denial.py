"""Finds the reason for which Ads Data Manager denies access or knows no dataset: 403 and 404 have several each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audience_sync.errors import AccessDenied, NotFound
from audience_sync_cli.frame.errors import OperatorError

if TYPE_CHECKING:
    from audience_sync.amazon_ads.data_manager.client import DataManager
    from audience_sync_cli.frame.session import Session

_NO_ACCESS = (
    "Amazon denies access to the account of Ads Data Manager: the stack names the wrong one, or permission is missing."
)
_NO_PERMISSION = (
    "Amazon denies this, though the terms of Ads Data Manager are accepted and the data room exists: permission or a"
    " link between accounts is missing."
)
_OF_MANAGER = (
    "The user who ran `audience-sync connect` needs the permission ads_data_manager_edit on the manager account;"
    " accounts of shares must be linked to it with the permission Admin or Data sharing."
)
_OF_DSP = (
    "The user who ran `audience-sync connect` needs the permissions audiences_edit and account_edit on the DSP account."
)


@contextmanager
def explaining_denial(session: "Session") -> Iterator[None]:
    """Turn a refused call of Ads Data Manager into an error that names what is missing, as far as that can be asked."""
    try:
        yield
    except AccessDenied:
        raise denial(session.data_manager) from None
    except NotFound:
        if session.data_manager.data_room() is None:
            raise no_data_room() from None
        raise


def denial(amazon: "DataManager") -> OperatorError:
    """Read the terms and the data room, and return the error that names the missing part."""
    permission = _OF_MANAGER if amazon.can_erase else _OF_DSP
    try:
        if not amazon.terms().accepted:
            return terms_missing()
        if amazon.data_room() is None:
            return no_data_room()
    except AccessDenied:
        return OperatorError(_NO_ACCESS, permission)
    return OperatorError(_NO_PERMISSION, permission)


def terms_missing() -> OperatorError:
    """Return the error of an account whose terms nobody has accepted; the command prints them and asks."""
    return OperatorError(
        "The terms of Ads Data Manager are not accepted: Amazon refuses everything else.",
        "Run `audience-sync terms accept --api data-manager`.",
    )


def no_data_room() -> OperatorError:
    """Return the error of an account whose data room is missing: Amazon answers 404, as if the dataset were."""
    return OperatorError(
        "The account has no data room in Ads Data Manager.",
        "`audience-sync audiences create NAME --api data-manager --country CODE` creates it, also with a listed NAME.",
    )
