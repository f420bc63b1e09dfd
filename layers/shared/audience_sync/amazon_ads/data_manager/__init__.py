"""Ads Data Manager: datasets of one account, shared with any number of advertisers and AMC instances."""
