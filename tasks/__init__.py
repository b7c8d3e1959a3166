"""The stages of a training as Prefect tasks, with retries and time-outs."""
