"""Every name and identifier of a cell line resolved to one DepMap id, and relatives to one group."""
