"""The pure scheduling domain; standard library only."""
