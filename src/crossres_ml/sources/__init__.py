"""Where tables come from: the registry, its files, one reader module a publisher, the simulated study."""
