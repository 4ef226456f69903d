"""The site of `dragoman web`: the server's page with models that run in the browser. It needs the extra `serve`."""
