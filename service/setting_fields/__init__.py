"""The fields of the settings, by subject; `service.settings` puts them together and reads them."""
