resource "google_artifact_registry_repository" "images" {
  repository_id = "headrace"
  location      = var.region
  format        = "DOCKER"
  description   = "Headrace's images: components, the TFX family, trainer and serving."

  # `current` and `vX.Y.Z` are set to a digest that has passed; pipelines name digests.
  docker_config {
    immutable_tags = false
  }

  cleanup_policies {
    id     = "keep-releases"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["v", "current"]
    }
  }

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  # A digest that an old pipeline names may be among them: 180 days is longer than runs are kept.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "15552000s"
    }
  }

  depends_on = [google_project_service.enabled]
}

resource "google_artifact_registry_repository" "packages" {
  count = local.builds ? 1 : 0

  repository_id = "headrace-python"
  location      = var.region
  format        = "PYTHON"
  description   = "Headrace's wheels, one for each release."

  depends_on = [google_project_service.enabled]
}
