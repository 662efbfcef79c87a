"""The fields of the settings, by subject; `service.configuration.settings` puts them together and reads them."""
