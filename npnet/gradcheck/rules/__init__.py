"""The rules of the contract of layers and losses."""
