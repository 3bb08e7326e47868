"""From a trained model to its record: samples, judges, figures."""
