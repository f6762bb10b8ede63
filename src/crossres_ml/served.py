"""The model code that MLflow copies beside saved models and runs when it loads them.

It stays this short on purpose: a copy of it lives on in every logged model, and must go on working when
the package around it changes.
"""

from crossres_ml.tracking import offer_model

offer_model()
