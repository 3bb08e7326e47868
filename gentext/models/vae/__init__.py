"""Text VAEs: an encoder and a posterior around any decoder."""
