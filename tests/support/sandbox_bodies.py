"""Bodies that Amazon takes and refuses, as tables that several tests read: id, body, and what the refusal names."""

import hashlib
from typing import Any

EMAIL = hashlib.sha256(b"ada@example.com").hexdigest()
OF_NOTHING = hashlib.sha256(b"").hexdigest()
DROP = object()  # stands for a field to leave out

type Row = tuple[str, Any, str]


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (base | fields).items() if value is not DROP}


RECORD: dict[str, Any] = {"externalUserId": "ada_1-X", "action": "CREATE", "hashedPII": [{"email": EMAIL}]}
UPLOAD: dict[str, Any] = {"audienceId": 418273650912345679, "records": [RECORD]}
AUDIENCE: dict[str, Any] = {
    "name": "Lapsed buyers",
    "description": "Have not bought for a year",
    "targetResource": {"advertiserId": 590071284455661235},
    "metadata": {"externalAudienceId": "lapsed"},
}
FEE = {"cpmCents": 100, "currency": "USD"}


def upload(**fields: Any) -> dict[str, Any]:
    return UPLOAD | {"records": [changed(RECORD, **fields)]}


def consent(**fields: Any) -> dict[str, Any]:
    return upload(userConsent={"consent": fields})


def audience(**metadata: Any) -> dict[str, Any]:
    return AUDIENCE | {"metadata": changed(AUDIENCE["metadata"], **metadata)}


TAKEN_UPLOADS: list[Row] = [
    ("the least", UPLOAD, ""),
    ("largest id", UPLOAD | {"audienceId": 2**63 - 1}, ""),
    ("removal", upload(action="DELETE"), ""),
    ("128 characters of user id", upload(externalUserId="x" * 128), ""),
    ("every field", upload(hashedPII=[dict.fromkeys("email phone firstname lastname address".split(), EMAIL)]), ""),
    ("100 identities", upload(hashedPII=[{"email": EMAIL}] * 100), ""),
    ("10,000 records", UPLOAD | {"records": [RECORD] * 10_000}, ""),
    ("country", upload(countryCode="GB"), ""),
    ("unknown country by name", upload(countryCode="UNKNOWN"), ""),
    ("empty parts of consent", upload(userConsent={"geo": {}, "consent": {"amzn": {}}}), ""),
    ("consent by Amazon's signal", consent(amzn={"amznUserData": "GRANTED", "amznAdStorage": "DENIED"}), ""),
    ("consent by TCF and GPP", consent(tcf="CPX", gpp="DBA"), ""),
    ("geo", upload(userConsent={"geo": {"countryCode": "DE", "ipAddress": "192.0.2.1"}}), ""),
    ("measurements of any kind", upload(measurements={"any": 1}), ""),
]

REFUSED_UPLOADS: list[Row] = [
    ("audience id missing", changed(UPLOAD, audienceId=DROP), "NULL_VALUE can not be converted to a Long"),
    ("audience id as text", UPLOAD | {"audienceId": "418273650912345679"}, "STRING_VALUE can not be converted"),
    ("audience id as boolean", UPLOAD | {"audienceId": True}, "BOOLEAN_VALUE can not be converted"),
    ("audience id with a fraction", UPLOAD | {"audienceId": 1.5}, "DECIMAL_VALUE can not be converted"),
    ("audience id of zero", UPLOAD | {"audienceId": 0}, "out of range"),
    ("audience id above 64 bits", UPLOAD | {"audienceId": 2**64}, "out of range"),
    ("unknown property of the body", UPLOAD | {"advertiserId": 1}, "body has an unknown property"),
    ("records missing", changed(UPLOAD, records=DROP), "records must hold"),
    ("no records", UPLOAD | {"records": []}, "records must hold"),
    ("10,001 records", UPLOAD | {"records": [RECORD] * 10_001}, "records must hold"),
    ("second record bad", UPLOAD | {"records": [RECORD, changed(RECORD, action="ADD")]}, "records[1].action"),
    ("unknown property of a record", upload(email=EMAIL), "records[0].unknown property"),
    ("user id missing", upload(externalUserId=DROP), "externalUserId"),
    ("empty user id", upload(externalUserId=""), "externalUserId"),
    ("user id of 129 characters", upload(externalUserId="x" * 129), "externalUserId"),
    ("email address as user id", upload(externalUserId="ada@example.com"), "externalUserId"),
    ("user id with a newline at its end", upload(externalUserId="ada\n"), "externalUserId"),
    ("user id with a letter beyond ASCII", upload(externalUserId="adä"), "externalUserId"),
    ("action missing", upload(action=DROP), "action"),
    ("action in lower case", upload(action="create"), "action"),
    ("no hashedPII", upload(hashedPII=DROP), "hashedPII"),
    ("empty hashedPII", upload(hashedPII=[]), "hashedPII"),
    ("101 identities", upload(hashedPII=[{"email": EMAIL}] * 101), "hashedPII"),
    ("empty identity", upload(hashedPII=[{}]), "hashedPII"),
    ("field of another API", upload(hashedPII=[{"firstName": EMAIL}]), "hashedPII"),
    ("plain text", upload(hashedPII=[{"email": "ada@example.com"}]), "hashedPII.email"),
    ("digest in upper case", upload(hashedPII=[{"phone": EMAIL.upper()}]), "hashedPII.phone"),
    ("digest with a newline at its end", upload(hashedPII=[{"city": EMAIL + "\n"}]), "hashedPII.city"),
    ("digest of the empty string", upload(hashedPII=[{"state": OF_NOTHING}]), "hashedPII.state"),
    ("second identity bad", upload(hashedPII=[{"email": EMAIL}, {"email": ""}]), "hashedPII.email"),
    ("country in lower case", upload(countryCode="us"), "countryCode"),
    ("UK for GB", upload(countryCode="UK"), "countryCode"),
    ("measurements as list", upload(measurements=[]), "measurements"),
    ("consent as text", upload(userConsent="GRANTED"), "userConsent"),
    ("unknown part of consent", upload(userConsent={"amzn": {}}), "userConsent"),
    ("unknown signal", consent(usp="1YNN"), "userConsent.consent"),
    ("unknown consent value", consent(amzn={"amznUserData": "granted"}), "userConsent.consent.amzn"),
    ("unknown consent of Amazon's", consent(amzn={"userData": "GRANTED"}), "userConsent.consent.amzn"),
    ("empty TCF string", consent(tcf=""), "tcf"),
    ("unknown geo country", upload(userConsent={"geo": {"countryCode": "EU"}}), "userConsent.geo.countryCode"),
    ("empty IP address", upload(userConsent={"geo": {"ipAddress": ""}}), "ipAddress"),
    ("target without connection", UPLOAD | {"targetResource": {}}, "connectionId is required"),
    ("advertiser as target", UPLOAD | {"targetResource": {"advertiserId": 5}}, "unknown property"),
    ("AMC as target type", UPLOAD | {"targetResource": {"connectionId": "c", "targetTypes": ["AMC"]}}, "targetTypes"),
    ("DSP twice", UPLOAD | {"targetResource": {"connectionId": "c", "targetTypes": ["DSP"] * 2}}, "targetTypes"),
]

TAKEN_AUDIENCES: list[Row] = [
    ("the least", AUDIENCE, ""),
    ("shortest name", AUDIENCE | {"name": "x" * 10}, ""),
    ("longest name and description", AUDIENCE | {"name": "x" * 128, "description": "x" * 1000}, ""),
    ("empty description", AUDIENCE | {"description": ""}, ""),
    ("country", AUDIENCE | {"countryCode": "XK"}, ""),
    ("ttl of 0", audience(ttl=0), ""),
    ("longest ttl", audience(ttl=34_300_800), ""),
    ("ttl written with a point", audience(ttl=604_800.0), ""),
    ("13 fees", audience(audienceFees=[FEE] * 13), ""),
]

REFUSED_AUDIENCES: list[Row] = [
    ("name missing", changed(AUDIENCE, name=DROP), "name"),
    ("name of 9 characters", AUDIENCE | {"name": "x" * 9}, "name"),
    ("name of 129 characters", AUDIENCE | {"name": "x" * 129}, "name"),
    ("description missing", changed(AUDIENCE, description=DROP), "description"),
    ("null description", AUDIENCE | {"description": None}, "description"),
    ("description of 1,001 characters", AUDIENCE | {"description": "x" * 1001}, "description"),
    ("unknown country", AUDIENCE | {"countryCode": "UK"}, "countryCode"),
    ("target missing", changed(AUDIENCE, targetResource=DROP), "targetResource"),
    ("empty target", AUDIENCE | {"targetResource": {}}, "exactly one"),
    ("two targets", AUDIENCE | {"targetResource": {"advertiserId": 5, "connectionId": "c"}}, "exactly one"),
    ("advertiser as text", AUDIENCE | {"targetResource": {"advertiserId": "5"}}, "STRING_VALUE"),
    ("blank connection", AUDIENCE | {"targetResource": {"connectionId": ""}}, "connectionId"),
    ("metadata missing", changed(AUDIENCE, metadata=DROP), "metadata"),
    ("external id missing", audience(externalAudienceId=DROP), "externalAudienceId"),
    ("empty external id", audience(externalAudienceId=""), "externalAudienceId"),
    ("ttl too long", audience(ttl=34_300_801), "ttl"),
    ("negative ttl", audience(ttl=-1), "ttl"),
    ("no fee in the list", audience(audienceFees=[]), "audienceFees"),
    ("14 fees", audience(audienceFees=[FEE] * 14), "audienceFees"),
    ("fee without currency", audience(audienceFees=[{"cpmCents": 1}]), "currency"),
    ("fee in CHF", audience(audienceFees=[FEE | {"currency": "CHF"}]), "currency"),
    ("fee below nothing", audience(audienceFees=[FEE | {"cpmCents": -1}]), "cpmCents"),
    ("unknown property of a fee", audience(audienceFees=[FEE | {"note": ""}]), "audienceFees"),
    ("unknown property of metadata", audience(size=1), "metadata"),
    ("unknown property of the body", AUDIENCE | {"audienceId": 5}, "body"),
]

TAKEN_UPDATES: list[Row] = [
    ("description", {"description": ""}, ""),
    ("ttl of 0", {"metadata": {"ttl": 0}}, ""),
    ("everything", {"description": "new", "metadata": {"ttl": 5, "audienceFees": [FEE]}}, ""),
]

REFUSED_UPDATES: list[Row] = [
    ("nothing", {}, "body"),
    ("name", {"name": "Another name"}, "body"),
    ("external id", {"metadata": {"externalAudienceId": "x"}}, "metadata"),
    ("empty metadata", {"metadata": {}}, "metadata"),
    ("null description", {"description": None}, "description"),
    ("ttl as text", {"metadata": {"ttl": "5"}}, "ttl"),
]

TAKEN_CONNECTIONS: list[Row] = [
    ("AMC instance", {"amcInstanceId": "amc1"}, ""),
    ("DSP advertiser", {"dspAdvertiserId": "590071284455661235", "isDefault": True}, ""),
    (
        "everything",
        {"amcAccountId": "a", "amcAccountMarketplaceId": "m", "amcInstanceId": "i", "dspProfileId": "p"},
        "",
    ),
]

REFUSED_CONNECTIONS: list[Row] = [
    ("neither instance nor advertiser", {"dspProfileId": "5"}, "AMC instance or a DSP advertiser"),
    ("advertiser as number", {"dspAdvertiserId": 590071284455661235}, "dspAdvertiserId"),
    ("default as text", {"amcInstanceId": "amc1", "isDefault": "true"}, "isDefault"),
    ("unknown property", {"amcInstanceId": "amc1", "name": "x"}, "body"),
]

REFUSED_ACCEPTANCES: list[Row] = [
    ("no token", {"hasAccepted": True}, "agreementToken"),
    ("empty token", {"agreementToken": "", "hasAccepted": True}, "agreementToken"),
    ("no answer", {"agreementToken": "x"}, "hasAccepted"),
    ("unknown property", {"agreementToken": "x", "hasAccepted": True, "user": "x"}, "body"),
]
