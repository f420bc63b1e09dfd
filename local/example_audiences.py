"""The audiences of a local stack: those in the requests in events/, so that each can be tried unchanged."""

from audience_sync.amazon_ads.destination import Api, dsp_advertiser
from audience_sync.members.membership import Audience, FilledBy

EXAMPLE = Audience(
    audience_id="418273650912345678",
    name="Lapsed premium buyers",
    country="US",
    destination=dsp_advertiser("590071284455661234"),
    computation_key="lapsed_premium_buyers",
    external_audience_id="lapsed-premium-us",
    filled_by=FilledBy.STACK,
)

EXAMPLES = (
    EXAMPLE,
    Audience(
        audience_id="418273650912349999",
        name="Lapsed premium buyers, Germany",
        country="DE",
        destination=dsp_advertiser("590071284455661234"),
        external_audience_id="lapsed-premium-de",
        filled_by=FilledBy.STACK,
    ),
)

# The body of POST /v1/audiences for an audience of Ads Data Manager, which the demo creates.
DATASET = {
    "audienceName": "Lapsed premium buyers everywhere",
    "api": Api.DATA_MANAGER,
    "countryCode": "US",
    "computationKey": "lapsed_premium_buyers_everywhere",
    "shares": [
        {"advertiserId": "ENTITY2XYZ", "marketplace": "US"},
        {"amcInstanceId": "amc1a2b", "marketplace": "US"},
    ],
}
