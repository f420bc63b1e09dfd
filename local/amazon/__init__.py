"""A sandbox of the Amazon Ads Advertiser Audiences API and of Login with Amazon.

An independent judge of the connector: it imports nothing of it and has its own idea of what Amazon refuses, so that a
mistake shared by both is unlikely. State lives in memory; time is the clock it was given, and passes when someone asks.
"""
