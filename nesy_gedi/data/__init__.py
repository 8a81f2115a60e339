"""Image sets, where they come from, and random views of them."""
