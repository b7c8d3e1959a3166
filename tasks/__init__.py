"""The stages of a training as Prefect tasks: retries and time-outs. What a stage does stands in the library."""
