"""Train recurrent translators: corpora, network, search, training and evaluation."""
