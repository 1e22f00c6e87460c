# Cloud Build's triggers. They call the files in the repository, and override those files' substitutions with what is made here.

locals {
  staging_project = var.staging == null ? var.project : var.staging.project
  staging_bucket  = var.staging == null ? local.bucket : "${var.staging.project}-headrace-${var.staging.environment}"

  image_substitutions = {
    _REGION = var.region
    _IMAGES = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
  }
}

resource "google_cloudbuild_trigger" "pull_request" {
  count = local.builds ? 1 : 0

  name               = "headrace-pull-request"
  description        = "Lint, types, tests, compile, images. Pushes nothing and reaches no project."
  location           = var.region
  filename           = "cloudbuild.yaml"
  service_account    = google_service_account.account["headrace-ci-check"].id
  include_build_logs = "INCLUDE_BUILD_LOGS_WITH_STATUS"
  substitutions      = local.image_substitutions

  repository_event_config {
    repository = var.build_repository
    pull_request {
      branch = "^main$"
      # What a stranger proposes is built when somebody of the project comments /gcbrun.
      comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    }
  }

  depends_on = [google_project_iam_member.account]
}

resource "google_cloudbuild_trigger" "main" {
  count = local.builds ? 1 : 0

  name            = "headrace-main"
  description     = "Push images by digest, compile against them, run on staging, gate, promote."
  location        = var.region
  filename        = "cloudbuild/main.yaml"
  service_account = google_service_account.account["headrace-ci-main"].id

  substitutions = merge(local.image_substitutions, {
    _RELEASES                = "gs://${google_storage_bucket.bucket["releases"].name}"
    _SPEC                    = var.build_spec
    _STAGING_PROJECT         = local.staging_project
    _STAGING_BUCKET          = "gs://${local.staging_bucket}"
    _STAGING_SERVICE_ACCOUNT = "headrace-pipelines@${local.staging_project}.iam.gserviceaccount.com"
  })

  repository_event_config {
    repository = var.build_repository
    push {
      branch = "^main$"
    }
  }

  depends_on = [google_project_iam_member.account]
}

resource "google_cloudbuild_trigger" "release" {
  count = local.builds ? 1 : 0

  name            = "headrace-release"
  description     = "Release what passed staging."
  location        = var.region
  filename        = "cloudbuild/release.yaml"
  service_account = google_service_account.account["headrace-ci-release"].id

  # Which images it is about stands in what was promoted.
  substitutions = {
    _REGION   = var.region
    _PACKAGES = "https://${var.region}-python.pkg.dev/${var.project}/${google_artifact_registry_repository.packages[0].repository_id}/"
    _RELEASES = "gs://${google_storage_bucket.bucket["releases"].name}"
  }

  approval_config {
    approval_required = var.release_approval
  }

  repository_event_config {
    repository = var.build_repository
    push {
      tag = "^v[0-9]+\\.[0-9]+\\.[0-9]+$"
    }
  }

  depends_on = [google_project_iam_member.account]
}
