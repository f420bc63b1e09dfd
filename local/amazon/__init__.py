"""A sandbox of the Amazon Ads Advertiser Audiences API and of Login with Amazon.

It checks the connector independently: it imports nothing of it and has its own validation rules, so that both are
unlikely to share a mistake. State is in memory; time is the given clock, read with each request.
"""
