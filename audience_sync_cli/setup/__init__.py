"""What is set up once: the connection to Amazon Ads, the keys that Segment sends, Amazon Marketing Cloud's terms."""
