"""What runs jobs. A job passes claimer → executor → runner → settler; keeper, sweeper and listener stand beside."""
