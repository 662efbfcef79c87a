"""Load test over HTTP: closed and open loops, sweeps, the highest rate within a latency target.

A stranger to the service: it imports neither `model` nor `service`.

`python -m loadtest COMMAND --help` tells what can be measured. Built on httpx and asyncio and not on locust, because
here a run is a function of its seed: who asks what, about which image and when is drawn before the clock starts, an
open loop sends at the drawn time whatever the server does (locust's users wait for their answers first, which hides
the wait of those who would have come), and each server-sent event is timed as it arrives. One process and one event
loop do that for far more requests a second than a vision-language model answers; `late_s` in the results tells if ever
they did not.
"""
