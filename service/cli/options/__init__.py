"""Options of the commands: flags of the settings, options made from dataclasses, those that several commands share."""
