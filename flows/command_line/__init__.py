"""What all commands share: arguments, exit codes, what the terminal shows, a server for the length of one."""
