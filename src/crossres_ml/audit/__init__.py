"""Which features drive a score, and whether the named genes are among them."""
