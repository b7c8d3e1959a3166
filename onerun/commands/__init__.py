"""The commands: each one's options, what it does, and how it ends. Importing one loads nothing heavy."""
