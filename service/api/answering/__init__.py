"""From a checked request to its reply: image preprocessed, cost and room known, answered whole or streamed."""
