"""A first recipe for a lake: what its tables look like, what that suggests, and the YAML that says so."""
