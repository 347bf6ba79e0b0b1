"""The same trials under ablate and under other tools, each in an environment of its own."""
