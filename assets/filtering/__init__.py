"""Makes quality pools, fits scaling laws to training curves, and plans for a budget."""
