"""Hidden Markov models: plain, blocked, of low rank, neural."""
