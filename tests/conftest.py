"""Hypothesis judges what a property says, not how long an example took on a machine that others use too."""

from hypothesis import HealthCheck, Phase, settings

# On top of the profile in force: in CI Hypothesis chooses one of its own.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# For mutation tests: that a property fails is enough to know, without a search for the smallest example.
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False)
