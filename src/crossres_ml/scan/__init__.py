"""The search for events that go with resistance to both modalities, over everything that was measured."""
