"""Other people's packages, in an environment of their own, to be measured side by side."""
