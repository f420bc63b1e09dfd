"""Sends each upload to the API of its audience."""

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.upload import Submission, Upload, UploadKind
from audience_sync.errors import NotConnected


class ApiUploader:
    """Amazon's APIs, with one operator's authorization."""

    def __init__(self, audiences: AmazonAds, data_manager: DataManager | None) -> None:
        """Set up the APIs; `data_manager` is None if the stack names no account for it."""
        self._audiences = audiences
        self._data_manager = data_manager

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Submit one upload within `timeout` seconds.

        Raises:
            RequestRejected, TransientError: from the client. NotConnected without an account: changes wait for one.
        """
        if upload.frame.request is UploadKind.RECORDS:
            return self._audiences.send_records(upload, timeout=timeout)
        if self._data_manager is None:
            raise NotConnected("no account of Ads Data Manager is set; deploy with the parameter DataManagerAccountId")
        return self._data_manager.send_members(upload, timeout=timeout)
