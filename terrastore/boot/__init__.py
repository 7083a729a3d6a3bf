"""terrastore itself in a store, for machines that boot: its wheels, an index of them, and what leads to that."""
