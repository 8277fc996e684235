"""OKX v5: USDT swaps on the public and business sockets, and the REST beside them."""
