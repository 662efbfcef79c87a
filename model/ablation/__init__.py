"""Ablation study: appendix B of arXiv 2501.02584 in miniature, its variants trained and compared side by side."""
