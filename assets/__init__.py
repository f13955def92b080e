"""The stages, in the order the data flows, and the kernels that they share."""
