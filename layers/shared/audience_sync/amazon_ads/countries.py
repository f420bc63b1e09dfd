"""Country codes that Amazon Ads accepts, and which of them need consent."""

# Accepted for an audience and in a consent's geo: ISO 3166-1 alpha-2 plus AN, XK, UNKNOWN and ZZ. GB, not UK.
ACCEPTED = frozenset(
    """
    AD AE AF AG AI AL AM AN AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY
    BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM
    FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT
    JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN
    MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT
    PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL
    TM TN TO TR TT TV TW TZ UA UG UM UNKNOWN US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW ZZ
    """.split()
)

# Accepted, but not countries: they must not override the country of the extras or the audience.
NO_COUNTRY = frozenset({"UNKNOWN", "ZZ"})
NAMING_A_COUNTRY = ACCEPTED - NO_COUNTRY

# Countries whose additions need a consent signal: the UK and the EEA by Amazon's rules, Switzerland as a precaution.
CONSENT_REQUIRED = frozenset(
    """
    AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO GB CH
    """.split()
)


def accepted_country(value: object) -> str | None:
    """Return the code as Amazon writes it (`uk`, `GBR` and `United Kingdom` become `GB`); None if there is none."""
    if not isinstance(value, str):
        return None
    if value in ACCEPTED:
        return value
    code = value.strip().upper()
    code = "GB" if code == "UK" else code
    if code in ACCEPTED:
        return code
    from audience_sync.amazon_ads.country_names import country_of  # noqa: PLC0415  # few values need its table

    return country_of(value)
