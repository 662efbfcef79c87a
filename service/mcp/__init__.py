"""Tools for agents that speak the Model Context Protocol (MCP): captions, questions and estimates."""
