"""The network: cells, layers, encoder-decoder, search, heads, ensemble, loss."""
