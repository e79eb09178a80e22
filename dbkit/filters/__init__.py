"""Rules that every FROM of a table obeys, in each statement that a block sends."""
