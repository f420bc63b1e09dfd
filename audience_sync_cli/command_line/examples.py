"""The examples at the end of the help of each command. A test runs them through the command's own parser."""

EXAMPLES = {  # command: what can be typed
    "connect": (
        "audience-sync connect",
        "audience-sync connect --paste --client-id amzn1.application-oa2-client.1a2b3c",
    ),
    "test": ("audience-sync test --end-to-end", "audience-sync test --json | jq .ok"),
    "status": ("audience-sync status --members", "audience-sync --stack prod status --hours 24"),
    "send": ("audience-sync send --sample track --wait", "audience-sync send event.json --wait --timeout 300"),
    "tail": ("audience-sync tail --audience lapsed_premium_buyers", "audience-sync tail --since 1h --no-follow --json"),
    "rejections": ("audience-sync rejections --since 1d",),
    "operator-log": ("audience-sync operator-log --since 7d",),
    "dashboard": ("audience-sync dashboard --open", "audience-sync --stack prod dashboard --port 8090"),
    "import": (
        "audience-sync import members.csv big_spenders --dry-run",
        "audience-sync import members.csv big_spenders --rejects left-out.csv",
        "audience-sync import members.jsonl big_spenders --at 2026-03-04T09:00Z --country US",
    ),
    "compare": (
        "audience-sync compare members.csv big_spenders --out differences.csv",
        "audience-sync compare members.csv big_spenders --repair --surplus",
    ),
    "diagnose": ("audience-sync diagnose big_spenders", "audience-sync diagnose big_spenders --days 14 --no-count"),
    "restore-members": (
        "audience-sync restore-members restored-members --dry-run",
        "audience-sync restore-members kept-members --since 2026-03-04T09:00Z --source-shards 8",
    ),
    "keys show": ("audience-sync keys show", "audience-sync keys show event --reveal"),
    "keys rotate": ("audience-sync keys rotate event",),
    "keys retire": ("audience-sync keys retire event",),
    "keys add": (
        "audience-sync keys add event emea-web",
        "audience-sync keys add event emea-web --expires 2027-03-31",
    ),
    "keys remove": ("audience-sync keys remove event emea-web",),
    "audiences list": (
        "audience-sync audiences list",
        "audience-sync audiences list --unlinked",
        "audience-sync audiences list --json | jq -r '.[].audienceId'",
    ),
    "audiences show": (
        "audience-sync audiences show lapsed_premium_buyers",
        "audience-sync audiences show 418273650912345678 --history --days 90",
    ),
    "audiences link": (
        "audience-sync audiences link 418273650912345678 --key lapsed_premium_buyers --country US",
        "audience-sync audiences link 418273650912345678 --connection amc-1a2b --dsp",
    ),
    "audiences unlink": ("audience-sync audiences unlink lapsed_premium_buyers",),
    "audiences create": (
        'audience-sync audiences create "Big spenders" --advertiser 590071284455661234 --country US',
        'audience-sync audiences create "Big spenders" --connection amc-1a2b --country DE --ttl-days 30 --renew',
    ),
    "audiences update": (
        "audience-sync audiences update big_spenders --ttl-days 90",
        "audience-sync audiences update big_spenders --renew",
    ),
    "connections list": ("audience-sync connections list",),
    "connections create": (
        "audience-sync connections create --amc-instance amcabc1 --amc-account ENTITY1 --amc-marketplace ATVPDKIKX0DER",
        "audience-sync connections create --dsp-advertiser 590071284455661234",
    ),
    "connections delete": ("audience-sync connections delete amc-1a2b",),
    "terms show": ("audience-sync terms show --text",),
    "terms accept": ("audience-sync terms accept",),
    "mappings show": ("audience-sync mappings show", "audience-sync mappings show --json > mappings.json"),
    "mappings check": (
        "audience-sync mappings check mappings.json",
        "audience-sync mappings check mappings.json --event event.json",
    ),
    "mappings apply": ("audience-sync mappings apply mappings.json",),
    "mappings history": ("audience-sync mappings history",),
    "mappings revert": ("audience-sync mappings revert 3 --dry-run",),
    "mappings reset": ("audience-sync mappings reset",),
    "mappings try": (
        "audience-sync mappings try event.json",
        "audience-sync mappings try event.json --mappings mappings.json",
    ),
    "member show": ("audience-sync member show lapsed_premium_buyers cust_1001",),
    "member erase": ("audience-sync member erase cust_1001",),
    "parked list": (
        "audience-sync parked list --since 12h",
        "audience-sync parked list --reason access_denied --audience 418273650912345678",
    ),
    "parked show": ("audience-sync parked show 1a2b3c4d",),
    "parked acknowledge": ('audience-sync parked acknowledge --reason access_denied --note "terms are with legal"',),
    "parked redrive": (
        "audience-sync parked redrive --reason access_denied --dry-run",
        "audience-sync parked redrive --since 2026-03-04T09:00Z",
    ),
    "parked drop": ("audience-sync parked drop --erased --dry-run",),
}
