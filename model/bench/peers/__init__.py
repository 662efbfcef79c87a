"""Fast path beside the libraries that people would pick instead, llama.cpp and OpenVINO (the extra `peers`).

Nothing that serves imports this package or those libraries; a contract in `pyproject.toml` says so.
"""
