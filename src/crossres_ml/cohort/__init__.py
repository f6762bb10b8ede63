"""Feature blocks and response labels joined into one frozen object, the Cohort."""
