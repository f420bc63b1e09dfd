"""Countries that Amazon Ads accepts, and which of them need consent."""

import unicodedata
from functools import cache

# Amazon's code, ISO 3166-1's alpha-3 code, and English names of all countries, of AN and XK; German names of those in
# which Amazon matches people or which need consent. GB, not UK.
_TABLE = """
AD AND Andorra; AE ARE United Arab Emirates, UAE, Vereinigte Arabische Emirate; AF AFG Afghanistan; AG ATG Antigua and
Barbuda; AI AIA Anguilla; AL ALB Albania; AM ARM Armenia; AN ANT Netherlands Antilles; AO AGO Angola; AQ ATA
Antarctica; AR ARG Argentina; AS ASM American Samoa; AT AUT Austria, Österreich, Oesterreich; AU AUS Australia,
Australien; AW ABW Aruba; AX ALA Åland Islands; AZ AZE Azerbaijan; BA BIH Bosnia and Herzegovina; BB BRB Barbados; BD
BGD Bangladesh; BE BEL Belgium, Belgien; BF BFA Burkina Faso; BG BGR Bulgaria, Bulgarien; BH BHR Bahrain; BI BDI
Burundi; BJ BEN Benin; BL BLM Saint Barthélemy; BM BMU Bermuda; BN BRN Brunei; BO BOL Bolivia; BQ BES Bonaire; BR BRA
Brazil, Brasilien; BS BHS Bahamas; BT BTN Bhutan; BV BVT Bouvet Island; BW BWA Botswana; BY BLR Belarus; BZ BLZ
Belize; CA CAN Canada, Kanada; CC CCK Cocos Islands; CD COD Democratic Republic of the Congo; CF CAF Central African
Republic; CG COG Congo; CH CHE Switzerland, Schweiz; CI CIV Ivory Coast, Côte d'Ivoire; CK COK Cook Islands; CL CHL
Chile; CM CMR Cameroon; CN CHN China; CO COL Colombia; CR CRI Costa Rica; CU CUB Cuba; CV CPV Cape Verde; CW CUW
Curaçao; CX CXR Christmas Island; CY CYP Cyprus, Zypern; CZ CZE Czechia, Czech Republic, Tschechien; DE DEU Germany,
Deutschland; DJ DJI Djibouti; DK DNK Denmark, Dänemark; DM DMA Dominica; DO DOM Dominican Republic; DZ DZA Algeria; EC
ECU Ecuador; EE EST Estonia, Estland; EG EGY Egypt, Ägypten; EH ESH Western Sahara; ER ERI Eritrea; ES ESP Spain,
Spanien; ET ETH Ethiopia; FI FIN Finland, Finnland; FJ FJI Fiji; FK FLK Falkland Islands; FM FSM Micronesia; FO FRO
Faroe Islands; FR FRA France, Frankreich; GA GAB Gabon; GB GBR United Kingdom, Great Britain, England, U.K.,
Vereinigtes Königreich, Großbritannien; GD GRD Grenada; GE GEO Georgia; GF GUF French Guiana; GG GGY Guernsey; GH GHA
Ghana; GI GIB Gibraltar; GL GRL Greenland; GM GMB Gambia; GN GIN Guinea; GP GLP Guadeloupe; GQ GNQ Equatorial Guinea;
GR GRC Greece, Griechenland; GS SGS South Georgia and the South Sandwich Islands; GT GTM Guatemala; GU GUM Guam; GW
GNB Guinea-Bissau; GY GUY Guyana; HK HKG Hong Kong; HM HMD Heard Island and McDonald Islands; HN HND Honduras; HR HRV
Croatia, Kroatien; HT HTI Haiti; HU HUN Hungary, Ungarn; ID IDN Indonesia; IE IRL Ireland, Irland; IL ISR Israel; IM
IMN Isle of Man; IN IND India, Indien; IO IOT British Indian Ocean Territory; IQ IRQ Iraq; IR IRN Iran; IS ISL
Iceland, Island; IT ITA Italy, Italien; JE JEY Jersey; JM JAM Jamaica; JO JOR Jordan; JP JPN Japan; KE KEN Kenya; KG
KGZ Kyrgyzstan; KH KHM Cambodia; KI KIR Kiribati; KM COM Comoros; KN KNA Saint Kitts and Nevis; KP PRK North Korea; KR
KOR South Korea, Korea, Republic of Korea; KW KWT Kuwait; KY CYM Cayman Islands; KZ KAZ Kazakhstan; LA LAO Laos; LB
LBN Lebanon; LC LCA Saint Lucia; LI LIE Liechtenstein; LK LKA Sri Lanka; LR LBR Liberia; LS LSO Lesotho; LT LTU
Lithuania, Litauen; LU LUX Luxembourg, Luxemburg; LV LVA Latvia, Lettland; LY LBY Libya; MA MAR Morocco; MC MCO
Monaco; MD MDA Moldova; ME MNE Montenegro; MF MAF Saint Martin; MG MDG Madagascar; MH MHL Marshall Islands; MK MKD
North Macedonia; ML MLI Mali; MM MMR Myanmar; MN MNG Mongolia; MO MAC Macao, Macau; MP MNP Northern Mariana Islands;
MQ MTQ Martinique; MR MRT Mauritania; MS MSR Montserrat; MT MLT Malta; MU MUS Mauritius; MV MDV Maldives; MW MWI
Malawi; MX MEX Mexico, Mexiko; MY MYS Malaysia; MZ MOZ Mozambique; NA NAM Namibia; NC NCL New Caledonia; NE NER Niger;
NF NFK Norfolk Island; NG NGA Nigeria; NI NIC Nicaragua; NL NLD Netherlands, Niederlande; NO NOR Norway, Norwegen; NP
NPL Nepal; NR NRU Nauru; NU NIU Niue; NZ NZL New Zealand; OM OMN Oman; PA PAN Panama; PE PER Peru; PF PYF French
Polynesia; PG PNG Papua New Guinea; PH PHL Philippines; PK PAK Pakistan; PL POL Poland, Polen; PM SPM Saint Pierre and
Miquelon; PN PCN Pitcairn; PR PRI Puerto Rico; PS PSE Palestine; PT PRT Portugal; PW PLW Palau; PY PRY Paraguay; QA
QAT Qatar; RE REU Réunion; RO ROU Romania, Rumänien; RS SRB Serbia; RU RUS Russia, Russian Federation; RW RWA Rwanda;
SA SAU Saudi Arabia, Saudi-Arabien; SB SLB Solomon Islands; SC SYC Seychelles; SD SDN Sudan; SE SWE Sweden, Schweden;
SG SGP Singapore, Singapur; SH SHN Saint Helena; SI SVN Slovenia, Slowenien; SJ SJM Svalbard and Jan Mayen; SK SVK
Slovakia, Slowakei; SL SLE Sierra Leone; SM SMR San Marino; SN SEN Senegal; SO SOM Somalia; SR SUR Suriname; SS SSD
South Sudan; ST STP Sao Tome and Principe; SV SLV El Salvador; SX SXM Sint Maarten; SY SYR Syria; SZ SWZ Eswatini; TC
TCA Turks and Caicos Islands; TD TCD Chad; TF ATF French Southern Territories; TG TGO Togo; TH THA Thailand; TJ TJK
Tajikistan; TK TKL Tokelau; TL TLS Timor-Leste; TM TKM Turkmenistan; TN TUN Tunisia; TO TON Tonga; TR TUR Turkey,
Türkiye, Türkei; TT TTO Trinidad and Tobago; TV TUV Tuvalu; TW TWN Taiwan; TZ TZA Tanzania; UA UKR Ukraine; UG UGA
Uganda; UM UMI US Minor Outlying Islands; US USA United States, United States of America, U.S., Vereinigte Staaten,
Vereinigte Staaten von Amerika; UY URY Uruguay; UZ UZB Uzbekistan; VA VAT Vatican City; VC VCT Saint Vincent and the
Grenadines; VE VEN Venezuela; VG VGB British Virgin Islands; VI VIR US Virgin Islands; VN VNM Vietnam; VU VUT Vanuatu;
WF WLF Wallis and Futuna; WS WSM Samoa; XK XKX Kosovo; YE YEM Yemen; YT MYT Mayotte; ZA ZAF South Africa; ZM ZMB
Zambia; ZW ZWE Zimbabwe
"""
_ENTRIES = _TABLE.split(";")

# Accepted, but not countries: they must not override the country of the extras or the audience.
NO_COUNTRY = frozenset({"UNKNOWN", "ZZ"})
NAMING_A_COUNTRY = frozenset(entry.split(maxsplit=1)[0] for entry in _ENTRIES)
ACCEPTED = NAMING_A_COUNTRY | NO_COUNTRY
MAX_LENGTH = 100  # characters; no name is longer

# Countries whose additions need a consent signal: the UK and the EEA by Amazon's rules, Switzerland as a precaution.
CONSENT_REQUIRED = frozenset(
    """
    AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO GB CH
    """.split()
)


def accepted_country(value: object) -> str | None:
    """Return the code as Amazon writes it (`uk`, `GBR` and `United Kingdom` become `GB`); None if there is none."""
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    if value in ACCEPTED:
        return value
    code = value.strip().upper()
    return code if code in ACCEPTED else _codes().get(_letters(value))


@cache
def _codes() -> dict[str, str]:
    """Return the code of each country by its other spellings."""
    found: dict[str, str] = {}
    for code, alpha_3, names in (" ".join(entry.split()).split(" ", 2) for entry in _ENTRIES):
        found |= {_letters(name): code for name in (alpha_3, *names.split(","))}
    return found


def _letters(text: str) -> str:
    """Return a name without case, accents, punctuation and a leading article."""
    plain = unicodedata.normalize("NFKD", text.replace("&", " and ")).casefold().strip()
    return "".join(filter(str.isalpha, plain.removeprefix("the ")))
