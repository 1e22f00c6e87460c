# Logged requests and batch predictions are written by Vertex AI itself, with the rights of its own service agent.

locals {
  day_ms = 24 * 60 * 60 * 1000

  datasets = {
    headrace_data        = { description = "Tables that pipelines learn from.", kept_ms = null }
    headrace_predictions = { description = "Batch predictions.", kept_ms = var.requests_kept_days * local.day_ms }
    headrace_requests    = { description = "Requests and answers of endpoints, for monitoring.", kept_ms = var.requests_kept_days * local.day_ms }
  }
}

resource "google_bigquery_dataset" "dataset" {
  for_each = local.datasets

  dataset_id  = each.key
  location    = var.region
  description = each.value.description

  # Of a table with partitions by time the old ones go; tables of predictions go as a whole.
  default_partition_expiration_ms = each.value.kept_ms
  default_table_expiration_ms     = each.key == "headrace_predictions" ? each.value.kept_ms : null
  delete_contents_on_destroy      = false

  depends_on = [google_project_service.enabled]
}
