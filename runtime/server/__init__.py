"""The HTTP server: LibreTranslate's interface, batches over all requests, and a page. It needs the extra `serve`."""
