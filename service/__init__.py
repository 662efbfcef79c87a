"""The service room: requests and time. It never touches a tensor and never imports torch."""
