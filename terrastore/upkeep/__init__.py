"""What a store holds, who uses it, and what nobody needs any more."""
