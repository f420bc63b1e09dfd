"""The Ads Data Manager API: terms, data rooms, datasets, members, sharing rules, metrics and identity deletion.

Bodies that break the declared model get 400. Rules that Amazon states only in words, such as the form of a hash,
reject single members in a 200. Behaviour that no document settles is behind switches: see `local.amazon.options`.
"""
