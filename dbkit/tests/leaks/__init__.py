"""The leak matrix: every form of a statement, every way of loading, every flavour of a rule."""
