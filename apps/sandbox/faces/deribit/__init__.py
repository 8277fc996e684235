"""Deribit's interfaces: JSON-RPC over HTTP and WebSocket."""
