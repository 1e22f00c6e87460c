locals {
  bucket = "${var.project}-headrace-${var.environment}"

  buckets = {
    # The pipeline root (runs/) and the registry's bundles (models/).
    main = { name = local.bucket, versioned = true, deleted_after = { "runs/" = var.runs_kept_days } }
    # Where new files arrive; each is an event.
    data = { name = "${local.bucket}-data", versioned = true, deleted_after = {} }
    # The rules of events, the compiled pipelines that they start, and the ledger of what was started.
    events = { name = "${local.bucket}-events", versioned = true, deleted_after = {} }
  }

  # What passed staging lies beside the build.
  release_buckets = local.builds ? { releases = { name = "${var.project}-headrace-releases", versioned = true, deleted_after = {} } } : {}
}

resource "google_storage_bucket" "bucket" {
  for_each = merge(local.buckets, local.release_buckets)

  name     = each.value.name
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = each.value.versioned
  }

  # A version that was replaced or deleted can be brought back for 30 days, and costs nothing after them.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }

  # Parts of uploads that were broken off.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.deleted_after
    content {
      action {
        type = "Delete"
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = [lifecycle_rule.key]
      }
    }
  }

  depends_on = [google_project_service.enabled]
}

# A folder with rights of its own: containers behind endpoints read models, and no training data.
resource "google_storage_managed_folder" "models" {
  bucket = google_storage_bucket.bucket["main"].name
  name   = "models/"
}
