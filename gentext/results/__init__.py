"""Records, and what is asked of them: boards, comparisons, frontiers."""
