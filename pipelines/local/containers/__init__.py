"""Tasks in their real images, by the engine that DOCKER_HOST names."""
