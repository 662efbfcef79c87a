"""Pheye itself: pixels and tensors, loaded, run, trained and evaluated.

It knows no HTTP, asyncio, Prometheus or settings. Of the environment it reads only what its libraries define
(HF_HUB_OFFLINE, HF_HOME, HF_TOKEN; LOCAL_WORLD_SIZE in training).
"""
