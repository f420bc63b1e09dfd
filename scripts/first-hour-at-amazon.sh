# Functions for the steps of docs/amazon-setup.md, "First hour at Amazon". Source it in bash, behind those of the runbook.
# They need API, MANAGER and a stack that is connected; they write into the current folder.

login() {  # the access token lasts an hour
    (umask 077 && printf 'Authorization: Bearer %s\nAmazon-Advertising-API-ClientId: %s\n' \
        "$(secret TokenSecret accessToken)" "$(secret CredentialsSecret clientId)" >login)
}
secret() {
    aws secretsmanager get-secret-value --secret-id "$(part "$1")" --query SecretString --output text |
        grep -o "\"$2\" *: *\"[^\"]*" | cut -d '"' -f 4
}

call() {  # METHOD PATH [BODY [OPTION OF curl...]]: CODE has the status, the file `body` the answer
    local type=application/json account="Amazon-Ads-Manager-Account-ID: $MANAGER"
    case $2 in
        /adm/*/members) type=application/vnd.admAudiences.v1+json ;;
        /adm/datasets/*) type=application/vnd.admmetrics.v1+json ;;
        /adm/identities/*) type=application/vnd.admDataDeletion.v1+json ;;
        /adm/*) ;;
        *) account="Accept: */*" type=application/vnd.amcaudiences.v1+json ;;
    esac
    CODE=$(curl -s -o body -w '%{http_code}' -X "$1" "$API$2" -H @login -H "Content-Type: $type" -H "${ACCOUNT:-$account}" \
        ${3:+--data-binary "$3"} "${@:4}")
    echo "$CODE $(cut -c 1-300 body)" >&2
}
field() { grep -o "\"$1\" *: *\"\?[^\",}]*" body | sed 's/.*: *"\?//; q'; }
note() { echo "$*" | tee -a answers; }
hash() { printf %s "$1" | sha256sum | cut -c 1-64; }

create() {  # TARGET: an audience; AUDIENCE has its id
    call POST /amc/audiences/metadata "{\"name\":\"First hour at Amazon\",\"description\":\"\",\"countryCode\":\"US\",\
\"targetResource\":{$1},\"metadata\":{\"externalAudienceId\":\"first-hour\"}}"
    AUDIENCE=$(field audienceId)
}
person() {  # NUMBER: a hash, of the colleagues or of nobody
    case $1 in 1) hash "$ADA" ;; 2) hash "$BOB" ;; *) hash "nobody-$1" ;; esac
}
two() { printf '%s","phone":"%s' "$(hash "$1")" "$(hash "$2")"; }  # EMAIL PHONE: in place of one HASH of `record`
record() {  # ID ACTION HASH [MORE]
    printf '{"externalUserId":"%s","action":"%s","hashedPII":[{"email":"%s"}]%s}' "$@"
}
upload() {  # RECORDS [MORE]: to the audience; JOB has the id of the job
    call POST /amc/audiences/records "{\"audienceId\":$AUDIENCE,\"records\":[$1]$2}"
    JOB=$(field jobRequestId)
}
large() {  # MEGABYTES: removals of nobody, in the file `large`
    local each
    each=$(printf "{\"email\":\"$(hash nobody)\"},%.0s" $(seq 100))
    {
        printf '{"audienceId":%s,"records":[' "$AUDIENCE"
        yes "{\"externalUserId\":\"a\",\"action\":\"DELETE\",\"hashedPII\":[${each%,}]}," | head -n $(($1 * 130))
        record a DELETE "$(hash nobody)"
        echo ']}'
    } >large
}
ended() {  # waits for the job
    until call GET "/amc/audiences/records/$JOB" 2>/dev/null; ! grep -q PENDING body; do sleep 30; login; done
}

member() {  # ID ACTION HASH [CONSENT]
    printf '{"externalUserId":"%s","action":"%s","userIdentity":{"hashedPiis":[{"em":"%s"}]}%s}' "$@"
}
GRANTED=',"userConsent":{"consent":{"amzn":{"amznUserData":"GRANTED","amznAdStorage":"GRANTED"}}}'
members() { call POST "/adm/audiences/$DATASET/members" "{\"members\":[$1]}"; }
arrived() {  # COUNT: waits until the dataset has so many records, three hours at most; TOOK has the seconds
    local start
    start=$(date +%s)
    until TOOK=$(($(date +%s) - start)); [ "0$(in_dataset)" -ge "$1" ] || [ "$TOOK" -gt 10800 ]; do sleep 60; login; done
}
in_dataset() { call POST /adm/datasets/list "{\"datasetIds\":[\"$DATASET\"]}" 2>/dev/null; field records; }

change() {  # ID ACTION HASH: in both, until it has taken effect
    upload "$(record "$@")"
    members "$(member "$@" "$GRANTED")"
    ended
    sleep "$TOOK"
    login
}
count() {  # what Amazon says of both
    call GET "/amc/audiences/metadata/$AUDIENCE" 2>/dev/null
    echo "audience $(field receivedRecordSize), $(field idResolutionCount) matched; dataset $(in_dataset)"
}
