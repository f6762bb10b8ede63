"""Models of resistance, baselines first, all through one interface; and the bundle that keeps one."""
