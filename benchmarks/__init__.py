"""Speed and memory, measured side by side in one run; each module is a command that prints JSON."""
