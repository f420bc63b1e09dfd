"""A sandbox of the Amazon Ads Advertiser Audiences API and of Login with Amazon.

It checks the connector independently: it imports nothing of it and has its own rules for what Amazon refuses, so that a
mistake in both is unlikely. State is in memory; time is the clock it was given, and is looked at with each request.
"""
