"""What if Pheye were built otherwise: appendix B of arXiv 2501.02584 in miniature, trained and judged side by side."""
