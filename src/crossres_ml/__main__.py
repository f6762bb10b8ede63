"""``python -m crossres_ml`` is ``crossres``."""

from crossres_ml.cli import main

main()
