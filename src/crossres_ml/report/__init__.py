"""From saved results to what people and other tools read: summary, figures, HTML report, model cards."""
