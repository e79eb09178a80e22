"""Blocks and the transactions behind them."""
