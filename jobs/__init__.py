"""What runs: the rules, the stages of a run, and what the main app calls."""
