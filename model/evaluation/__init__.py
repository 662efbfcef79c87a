"""What an answer is worth: the metrics of the paper's tables, the public data sets they are taken on, what to draw."""
