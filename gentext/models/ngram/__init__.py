"""N-gram models, smoothed by modified Kneser-Ney."""
