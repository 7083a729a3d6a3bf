"""What scripts/bench is made of: terrastore measured beside what a person would use instead."""
