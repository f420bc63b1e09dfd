"""Use case of `audiences`: creation and settings of audiences, on each of Amazon's APIs."""
