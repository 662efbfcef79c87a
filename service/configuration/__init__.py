"""Configuration of the service: settings with their fields, files of keys and certificates, policies of clients."""
