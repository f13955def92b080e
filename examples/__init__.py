"""What builds the sample lake, recipes for it, and a trainer that reads a release."""
