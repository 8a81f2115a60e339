"""The network, the terms of its objective, and their training."""
