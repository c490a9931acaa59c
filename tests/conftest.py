"""Settings for all tests."""

from hypothesis import settings

# The machines that run this are small and shared: few examples, and no example is too slow.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.load_profile("quick")
