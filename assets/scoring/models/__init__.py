"""Real models: encoders and causal language models, by local path or by their id on a hub."""
