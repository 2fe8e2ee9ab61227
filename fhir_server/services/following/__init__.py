"""What follows from a write: facts are relayed to those who follow, and what they plan is performed when it is due."""
