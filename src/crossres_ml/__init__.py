"""Honest models and audits of resistance to chemotherapy and radiotherapy in cell lines."""
