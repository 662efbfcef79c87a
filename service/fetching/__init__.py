"""Fetching of images from the web by URL: which URLs, over which connections, within which bounds."""
