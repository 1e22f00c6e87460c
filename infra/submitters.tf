# People and builds that start runs here with `headrace submit`, and follow and promote what comes of them.

locals {
  # The build's own account is one of them where its end-to-end run stays in this project.
  builds_here = local.builds && var.staging == null

  submitters = merge(
    { for member in var.submitters : member => member },
    local.builds_here ? { headrace-ci-main = "serviceAccount:headrace-ci-main@${var.project}.iam.gserviceaccount.com" } : {},
  )
}

resource "google_project_iam_member" "submitter" {
  for_each = local.submitters

  project = var.project
  role    = "roles/aiplatform.user" # runs, schedules, models, endpoints and batch predictions, by `headrace submit` and `headrace models`
  member  = each.value

  depends_on = [google_service_account.account]
}

resource "google_storage_bucket_iam_member" "submitter" {
  for_each = local.submitters

  bucket = google_storage_bucket.bucket["main"].name
  role   = "roles/storage.objectUser" # sources are uploaded, bundles and reports read
  member = each.value

  depends_on = [google_service_account.account]
}

resource "google_service_account_iam_member" "submitter" {
  for_each = local.submitters

  service_account_id = google_service_account.account["headrace-pipelines"].name
  role               = "roles/iam.serviceAccountUser" # the run works as this account
  member             = each.value

  depends_on = [google_service_account.account]
}

# People deploy, too. The build does not: its runs deploy as their own account.
resource "google_service_account_iam_member" "submitter_serves" {
  for_each = var.submitters

  service_account_id = google_service_account.account["headrace-serving"].name
  role               = "roles/iam.serviceAccountUser" # a model is deployed with this account
  member             = each.value
}
